package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gocloud.dev/secrets"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// kmsTimeout bounds each call to a key management service.
const kmsTimeout = 30 * time.Second

// KeyConfig says where the keyring is.
type KeyConfig struct {
	// Source is "file:PATH" or "env:NAME". A file must not be accessible to group or others.
	Source string
	// KMS is the URL of a key in a key management service, under which the keyring in Source is encrypted: awskms://, gcpkms://, azurekeyvault:// or
	// hashivault:// as gocloud.dev/secrets defines them. Empty: the keyring is not encrypted.
	KMS string
}

// keySource reads and writes the bytes of a keyring. Exactly one of file and env is set.
type keySource struct {
	file, env string
	kms       string
}

func newKeySource(cfg KeyConfig) (keySource, error) {
	kind, name, _ := strings.Cut(cfg.Source, ":")
	switch {
	case name == "":
	case kind == "file":
		return keySource{file: name, kms: cfg.KMS}, nil
	case kind == "env":
		return keySource{env: name, kms: cfg.KMS}, nil
	}
	// The value is not quoted: somebody may have put the key itself there.
	return keySource{}, errors.New(`source of the keyring: wanted "file:PATH" or "env:NAME"`)
}

// String names the source, for errors.
func (s keySource) String() string {
	if s.file != "" {
		return "keyring file " + s.file
	}
	return "keyring in environment variable " + s.env
}

// read returns the keyring's plain bytes.
func (s keySource) read(ctx context.Context) ([]byte, error) {
	stored, err := s.stored()
	if err != nil || s.kms == "" {
		return stored, err
	}
	ciphertext, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(stored))
	if err != nil {
		return nil, fmt.Errorf("%s is not base64, so no key service encrypted it", s)
	}
	return s.withKeeper(ctx, func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) {
		plain, err := keeper.Decrypt(ctx, ciphertext)
		if err != nil {
			return nil, fmt.Errorf("decrypt %s through the key service: %w", s, err)
		}
		return plain, nil
	})
}

func (s keySource) stored() ([]byte, error) {
	if s.file != "" {
		return readSecretFile(s.file)
	}
	value, ok := os.LookupEnv(s.env)
	if !ok {
		return nil, fmt.Errorf("%s: the variable is not set", s)
	}
	return []byte(value), nil
}

// create stores a new keyring; fs.ErrExist if there is one.
func (s keySource) create(ctx context.Context, plain []byte) error {
	if s.file == "" {
		return fmt.Errorf("%s: a variable cannot be written; use file:PATH and copy the file's line into the variable", s)
	}
	stored, err := s.encrypted(ctx, plain)
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, s.file+".lock")
	if err != nil {
		return err
	}
	return errors.Join(durable.Create(s.file, stored), unlock())
}

// replace reads the stored keyring, changes it and writes it back. Processes that share the file take turns.
func (s keySource) replace(ctx context.Context, change func(plain []byte) ([]byte, error)) error {
	if s.file == "" {
		return fmt.Errorf("%s: a variable cannot be written; use file:PATH and copy the file's line into the variable", s)
	}
	unlock, err := lockFile(ctx, s.file+".lock")
	if err != nil {
		return err
	}
	return errors.Join(s.replaceLocked(ctx, change), unlock())
}

func (s keySource) replaceLocked(ctx context.Context, change func(plain []byte) ([]byte, error)) error {
	plain, err := s.read(ctx)
	if err != nil {
		return err
	}
	defer clear(plain)
	changed, err := change(plain)
	if err != nil {
		return err
	}
	defer clear(changed)
	stored, err := s.encrypted(ctx, changed)
	if err != nil {
		return err
	}
	return durable.Replace(s.file, stored)
}

// encrypted returns what is to be stored for plain.
func (s keySource) encrypted(ctx context.Context, plain []byte) ([]byte, error) {
	if s.kms == "" {
		return plain, nil
	}
	ciphertext, err := s.withKeeper(ctx, func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) {
		return keeper.Encrypt(ctx, plain)
	})
	if err != nil {
		return nil, fmt.Errorf("encrypt %s through the key service: %w", s, err)
	}
	return append(base64.StdEncoding.AppendEncode(nil, ciphertext), '\n'), nil
}

func (s keySource) withKeeper(ctx context.Context, use func(context.Context, *secrets.Keeper) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
	defer cancel()
	keeper, err := secrets.OpenKeeper(ctx, s.kms)
	if err != nil {
		return nil, fmt.Errorf("open the key service's key: %w", err)
	}
	result, err := use(ctx, keeper)
	return result, errors.Join(err, keeper.Close())
}
