// Package author holds the identity under which one of our processes writes to the topic audit.system: a name and an Ed25519 key.
package author

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Tenant stands in records that belong to no tenant of the deployment.
const Tenant = "agentaudit"

// TypeHeartbeat is the type of records that say: at this time this partition of the topic took records. The exporter writes them, and the detector's clock of
// what nobody has heard of goes by them.
const TypeHeartbeat = "audit.heartbeat"

// Author signs system records. It is safe for concurrent use.
type Author struct {
	name string
	key  ed25519.PrivateKey
}

// Load reads the key of the author of that name: a file with the 32 bytes of the seed as 64 hex digits, readable by its owner only. Processes that
// share the file may share the name.
func Load(name, path string) (*Author, error) {
	if !chain.ValidAuthor(name) {
		return nil, fmt.Errorf("author's name %q: want 1 to 64 letters, digits, dots, underscores and hyphens", name)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key of author %s: %w", name, err)
	}
	if err := durable.Private(path, info.Mode()); err != nil {
		return nil, fmt.Errorf("key of author %s: %w", name, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key of author %s: %w", name, err)
	}
	defer clear(text)
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("key of author %s: %s must hold %d hex digits", name, path, 2*ed25519.SeedSize)
	}
	defer clear(seed)
	return &Author{name: name, key: ed25519.NewKeyFromSeed(seed)}, nil
}

// CreateKey writes a new key to path, which must not exist yet (fs.ErrExist). It is on disk when CreateKey returns.
func CreateKey(path string) error {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	rand.Read(seed) // never fails
	text := append(hex.AppendEncode(nil, seed), '\n')
	defer clear(text)
	if err := durable.Create(path, text); err != nil {
		return fmt.Errorf("make an author's key: %w", err)
	}
	return nil
}

// Name returns the author's name.
func (a *Author) Name() string { return a.name }

// Register tells the vault the author's public key, so that others can check what it signs. vault.ErrExists when the name is another key's.
func (a *Author) Register(ctx context.Context, v *vault.Vault) error {
	return v.AddAuthor(ctx, vault.Author{Name: a.name, Key: a.key.Public().(ed25519.PublicKey)})
}

// Message returns record, one JSON event of a reserved type, signed for the topic audit.system.
func (a *Author) Message(record []byte) kafkaio.Message {
	signature := base64.StdEncoding.EncodeToString(gdpr.SignSystem(a.key, record))
	return kafkaio.Message{
		Value: record,
		Headers: []kafkaio.Header{
			{Key: []byte(gdpr.HeaderAuthor), Value: []byte(a.name)},
			{Key: []byte(gdpr.HeaderSignature), Value: []byte(signature)},
		},
	}
}

// SignReceipt signs a receipt in this author's name.
func (a *Author) SignReceipt(r *gdpr.Receipt) error {
	r.Author = a.name
	return gdpr.SignReceipt(a.key, r)
}

// HasSigned says whether a receipt is this author's, and as it was signed.
func (a *Author) HasSigned(r *gdpr.Receipt) bool {
	return r.Author == a.name && gdpr.VerifyReceipt(a.key.Public().(ed25519.PublicKey), r)
}
