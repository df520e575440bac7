package gdpr

import (
	"crypto/rand"
)

// saltBatchBytes is how much randomness is read at a time: a read costs a system call or a pass of the generator, 4 KiB halve the price of a salt.
const saltBatchBytes = 4096

// salts hands out random bytes, each once.
type salts struct {
	batch [saltBatchBytes]byte
	left  int
}

// next fills salt. crypto/rand never fails: it ends the process when the system has no randomness.
func (s *salts) next(salt *[32]byte) {
	if s.left == 0 {
		rand.Read(s.batch[:])
		s.left = len(s.batch)
	}
	fresh := s.batch[s.left-len(salt) : s.left]
	copy(salt[:], fresh)
	clear(fresh)
	s.left -= len(salt)
}
