package store

import (
	"errors"
	"io"
	"sync"
)

// blockBody sends the parts of a block one after the other. After abandon it never
// touches them again, so that the block can be changed: a request that was given up
// would otherwise send rows of the next one under the token of the last.
type blockBody struct {
	size int64

	mu        sync.Mutex
	rest      [][]byte // guarded by mu, as is the memory it refers to
	abandoned bool     // guarded by mu
}

var errAbandoned = errors.New("insert was given up")

func newBlockBody(parts [][]byte) *blockBody {
	b := &blockBody{rest: parts}
	for _, p := range parts {
		b.size += int64(len(p))
	}
	return b
}

// Read implements io.Reader.
func (b *blockBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.abandoned {
		return 0, errAbandoned
	}
	n := 0
	for n < len(p) && len(b.rest) > 0 {
		copied := copy(p[n:], b.rest[0])
		n += copied
		if b.rest[0] = b.rest[0][copied:]; len(b.rest[0]) == 0 {
			b.rest = b.rest[1:]
		}
	}
	if n == 0 && len(b.rest) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *blockBody) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.abandoned, b.rest = true, nil
}
