package gdpr

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// What a Receipt says about a place where data may be.
const (
	StoreErased     = "erased"     // nothing of the person is there any more
	StoreUnreadable = "unreadable" // ciphertexts are, and no key opens them
	StoreNothing    = "nothing"    // nothing was there
	StoreWaiting    = "waiting"    // something may be there, until the date
	StorePending    = "pending"    // not known yet
)

// StoreStatus is what became of the person's data in one place.
type StoreStatus struct {
	Store  string `json:"store"`
	Status string `json:"status"`
	Until  string `json:"until,omitempty"` // RFC 3339; of StoreWaiting
	Note   string `json:"note,omitempty"`
}

// Residual is what a search after the destruction has found.
type Residual struct {
	VaultRows   uint64  `json:"vault_rows"`   // that still have the pseudonym or the key, beside the record of the destruction and holds
	SealedSince *uint64 `json:"sealed_since"` // entries under the pseudonym that were sealed after the receipt's wait; null: not counted yet
}

// Receipt says what an erasure has destroyed. It names no person, and the pseudonym that it names leads nowhere any more.
type Receipt struct {
	RequestID         string        `json:"request_id"`
	Status            string        `json:"status"` // a RequestState
	At                string        `json:"at"`     // of the destruction, RFC 3339
	SubjectsDestroyed int           `json:"subjects_destroyed"`
	KeysDestroyed     int           `json:"keys_destroyed"`
	Subjects          []string      `json:"subjects"`
	KeyIDs            []string      `json:"key_ids"`
	EventsUnreadable  *uint64       `json:"events_unreadable"` // null: not counted yet
	EventsOfOthers    *uint64       `json:"events_of_others"`  // how many of them are other people's too
	Residual          *Residual     `json:"residual"`
	Stores            []StoreStatus `json:"stores"`
	Log               string        `json:"log"` // where the entry about it stands
	Seq               uint64        `json:"seq"`
	Author            string        `json:"author"`    // whose signature it is
	Signature         string        `json:"signature"` // base64, over all of the above: see SignReceipt
}

// receiptLabel parts signatures of receipts from every other use of an author's key.
const receiptLabel = "agentaudit/receipt/v1\x00"

// SignReceipt sets the receipt's signature: Ed25519 over "agentaudit/receipt/v1" ‖ 0x00 ‖ the receipt as JSON with an empty signature.
func SignReceipt(key ed25519.PrivateKey, r *Receipt) error {
	message, err := r.message()
	if err != nil {
		return err
	}
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, message))
	return nil
}

// VerifyReceipt says whether the receipt is signed by the author who owns pub.
func VerifyReceipt(pub ed25519.PublicKey, r *Receipt) bool {
	signature, err := base64.StdEncoding.DecodeString(r.Signature)
	if err != nil || len(pub) != ed25519.PublicKeySize {
		return false
	}
	message, err := r.message()
	return err == nil && ed25519.Verify(pub, message, signature)
}

func (r *Receipt) message() ([]byte, error) {
	unsigned := *r
	unsigned.Signature = ""
	text, err := json.Marshal(&unsigned)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return append([]byte(receiptLabel), text...), nil
}
