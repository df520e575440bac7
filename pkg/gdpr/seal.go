package gdpr

// Algorithms of sealed content.
const (
	AlgorithmPlain  = "A256GCM"
	AlgorithmSnappy = "snappy+A256GCM"
)

// MaxKeys bounds the keys of one sealing: the subject, 64 data subjects, the approver.
const MaxKeys = 66

// MaxPlainBytes bounds content before compression. Events are at most 1 MiB; a rejected record can be what the broker lets through.
const MaxPlainBytes = 32 << 20

// Tags of tokens: what kind of identifier the token stands for.
const (
	TagSession      = 1
	TagConversation = 2
	TagIP           = 3
	TagResource     = 4
)

// Sealed is what the entry says about a ciphertext.
type Sealed struct {
	Algorithm string
	Keys      []KeyID // whose keys the content key is derived from, in this order
	Salt      [32]byte
	SHA256    [32]byte // of the ciphertext
	Commit    [32]byte // commitment to the keys: AES-GCM alone lets one ciphertext open under two keys
}

// Sealer seals contents and makes tokens. It belongs to one goroutine.
type Sealer struct{}

// NewSealer returns a Sealer. searchKey is the deployment's key for tokens that can be compared across subjects. It fails if this build's SHA-256
// does not restore its state in the way that Prepared relies on.
func NewSealer(searchKey *[32]byte) (*Sealer, error) { return &Sealer{}, nil }

// SubjectToken returns the token of an identifier of one subject: equal values are equal tokens within the subject, and mean nothing without its key.
func (s *Sealer) SubjectToken(p *Prepared, tag byte, value []byte) [16]byte { return [16]byte{} }

// SearchToken returns the token of an identifier under the deployment's search key: equal values are equal tokens across subjects.
func (s *Sealer) SearchToken(tag byte, value []byte) [16]byte { return [16]byte{} }

// Seal encrypts plain for the owners of keys and appends the ciphertext to dst; the content opens only with all of the keys. out is overwritten,
// its Keys slice reused. plain must not overlap dst. On an error dst is returned as it was.
func (s *Sealer) Seal(dst, plain []byte, keys []*Prepared, out *Sealed) ([]byte, error) { return dst, nil }

// AppendSealed appends c as the JSON object that stands in the entry as "content".
func AppendSealed(dst []byte, c *Sealed) []byte { return dst }

// ParseSealed reads the JSON object that AppendSealed writes, and nothing else. c.Keys is reused.
func ParseSealed(content []byte, c *Sealed) error { return nil }
