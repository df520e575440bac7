package gdpr

import "encoding/hex"

// SubjectID is a person's pseudonym: a random UUID that only the vault can lead back to the person.
type SubjectID [16]byte

// KeyID names one subject's pair of keys.
type KeyID [16]byte

// String returns the usual form of a UUID.
func (id SubjectID) String() string { return string(appendUUID(nil, id)) }

// String returns the usual form of a UUID.
func (id KeyID) String() string { return string(appendUUID(nil, id)) }

// AppendText appends the usual form of a UUID; it never fails.
func (id SubjectID) AppendText(dst []byte) ([]byte, error) { return appendUUID(dst, id), nil }

// AppendText appends the usual form of a UUID; it never fails.
func (id KeyID) AppendText(dst []byte) ([]byte, error) { return appendUUID(dst, id), nil }

func appendUUID(dst []byte, id [16]byte) []byte {
	dst = hex.AppendEncode(dst, id[0:4])
	dst = hex.AppendEncode(append(dst, '-'), id[4:6])
	dst = hex.AppendEncode(append(dst, '-'), id[6:8])
	dst = hex.AppendEncode(append(dst, '-'), id[8:10])
	return hex.AppendEncode(append(dst, '-'), id[10:16])
}

const uuidBytes = len("00000000-0000-0000-0000-000000000000")

// parseKeyID reads what KeyID.AppendText writes.
func parseKeyID(text []byte) (id KeyID, ok bool) {
	if len(text) != uuidBytes {
		return id, false
	}
	digits := make([]byte, 0, 32)
	for i, c := range text {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return id, false
			}
		case 'A' <= c && c <= 'F':
			return id, false
		default:
			digits = append(digits, c)
		}
	}
	_, err := hex.Decode(id[:], digits)
	return id, err == nil
}

// Keys are one subject's secrets as the vault holds them, 32 uniformly random bytes each.
type Keys struct {
	ID      KeyID
	Content [32]byte // content is sealed under keys derived from it
	Token   [32]byte // tokens are MACs under it
}

// Wipe overwrites the secrets.
func (k *Keys) Wipe() { *k = Keys{} }

// Prepared is Keys in the form that the hot path uses: the HMAC states of both keys. It holds no pointers, so that a million of them cost the
// garbage collector nothing. It is as secret as Keys. Its layout depends on the Go release: it must never be stored or sent.
type Prepared struct {
	id             KeyID
	content, token midstate
}

// Prepare computes the HMAC states of k.
func Prepare(k *Keys) Prepared {
	return Prepared{id: k.ID, content: midstateOf(&k.Content), token: midstateOf(&k.Token)}
}

// ID returns the id of the keys that p was prepared from.
func (p *Prepared) ID() KeyID { return p.id }

// Wipe overwrites the secrets.
func (p *Prepared) Wipe() { *p = Prepared{} }
