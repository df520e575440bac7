package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"github.com/klauspost/compress/s2"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// spill keeps what is to be read again later, in a file without a name, compressed and encrypted under a key that is in this process's memory only: not even somebody
// who reads the disk afterwards finds anything.
type spill struct {
	file    *os.File
	key     *age.X25519Identity
	sealer  io.WriteCloser
	packer  *s2.Writer
	size    int64 // bytes written, before they were packed
	reading bool
}

func newSpill(dir string) (*spill, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	file, err := durable.Scratch(dir)
	if err != nil {
		return nil, err
	}
	sealer, err := age.Encrypt(file, key.Recipient())
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &spill{file: file, key: key, sealer: sealer, packer: s2.NewWriter(sealer, s2.WriterConcurrency(1), s2.WriterBlockSize(256<<10))}, nil
}

// Write implements io.Writer.
func (s *spill) Write(p []byte) (int, error) {
	n, err := s.packer.Write(p)
	s.size += int64(n)
	return n, err
}

// read ends the writing and returns all that was written.
func (s *spill) read() (io.Reader, error) {
	if err := errors.Join(s.packer.Close(), s.sealer.Close()); err != nil {
		return nil, fmt.Errorf("keep a part of the archive: %w", err)
	}
	s.reading = true
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read a part of the archive: %w", err)
	}
	opened, err := age.Decrypt(s.file, s.key)
	if err != nil {
		return nil, fmt.Errorf("read a part of the archive: %w", err)
	}
	return s2.NewReader(opened), nil
}

// close removes what is there.
func (s *spill) close() {
	if !s.reading {
		_ = s.packer.Close() // nothing that it still has is wanted
	}
	_ = s.file.Close() // nor what the file has
}
