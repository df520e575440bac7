package gdpr

// Tags of tokens: what kind of identifier the token stands for. The tag is the first byte under the MAC, so that a session and a conversation of the
// same name have different tokens.
const (
	TagSession      = 1
	TagConversation = 2
	TagIP           = 3
	TagResource     = 4
)

// TokenBytes is the size of a token: half of HMAC-SHA-256, so that two of 2^32 values collide with a chance of 2^-65.
const TokenBytes = 16

// SubjectToken returns the token of an identifier of one subject: equal values are equal tokens within the subject, and mean nothing without its key.
// value is the unescaped UTF-8.
func (s *Sealer) SubjectToken(p *Prepared, tag byte, value []byte) [TokenBytes]byte {
	return s.token(&p.token, tag, value)
}

// SearchToken returns the token of an identifier under the deployment's search key: equal values are equal tokens across subjects. value is the
// unescaped UTF-8.
func (s *Sealer) SearchToken(tag byte, value []byte) [TokenBytes]byte {
	return s.token(&s.search, tag, value)
}

func (s *Sealer) token(key *midstate, tag byte, value []byte) [TokenBytes]byte {
	s.message = append(append(s.message[:0], tag), value...)
	sum, err := s.macer.mac(key, s.message)
	if err != nil {
		// NewSealer has restored states with this very digest; restoring does not look at the state's content.
		panic(err)
	}
	return [TokenBytes]byte(sum[:TokenBytes])
}
