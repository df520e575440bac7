package kafkaio

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// maxZstdWindow is the most that Kafka's own clients and brokers accept, so no batch that a broker took is refused.
	maxZstdWindow = 128 << 20
	// keptZstdWindow is what compression levels up to 19 use. A decoder that once had a larger window is not kept.
	keptZstdWindow = 8 << 20
	// maxSnappyRatio: three bytes of Snappy make at most 64. A block that claims more is not decoded, which is what bounds its memory.
	maxSnappyRatio = 22
)

// unpacker decompresses one batch at a time as a stream, so that a batch takes memory for its window and not for its contents. Its decoders are
// reused. One goroutine may use it.
type unpacker struct {
	source bytes.Reader
	gzip   *gzip.Reader
	snappy snappyReader
	lz4    *lz4.Reader
	zstd   *zstd.Decoder
}

// open returns the stream of records in body. It is valid until the next open.
func (u *unpacker) open(codec int, body []byte) (io.Reader, error) {
	u.source.Reset(body)
	switch codec {
	case codecGzip:
		if u.gzip == nil {
			u.gzip = new(gzip.Reader)
		}
		return u.gzip, u.gzip.Reset(&u.source)
	case codecSnappy:
		return &u.snappy, u.snappy.reset(body)
	case codecLZ4:
		if u.lz4 == nil {
			u.lz4 = lz4.NewReader(nil)
		}
		u.lz4.Reset(&u.source)
		return u.lz4, nil
	case codecZstd:
		return u.openZstd(body)
	}
	return nil, bad("its compression codec %d is unknown", codec)
}

func (u *unpacker) openZstd(body []byte) (io.Reader, error) {
	if u.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, err
		}
		u.zstd = d
	}
	var header zstd.Header
	d := u.zstd
	if err := header.Decode(body); err == nil && header.WindowSize > keptZstdWindow {
		u.zstd = nil // for the garbage collector, after this batch: with concurrency 1 a decoder has no goroutine to stop
	}
	return d, d.Reset(&u.source)
}

// snappyReader reads both shapes of Snappy in Kafka: blocks in snappy-java's frame, and (librdkafka) one bare block.
type snappyReader struct {
	rest  []byte // framed blocks not decoded yet
	block []byte // decoded, reused
	read  int    // of block
}

var xerialMagic = []byte("\x82SNAPPY\x00")

// xerialHeaderBytes are magic, version and oldest compatible version.
const xerialHeaderBytes = 16

func (s *snappyReader) reset(body []byte) error {
	s.rest, s.block, s.read = nil, s.block[:0], 0
	if bytes.HasPrefix(body, xerialMagic) && len(body) >= xerialHeaderBytes {
		s.rest = body[xerialHeaderBytes:]
		return nil
	}
	return s.decode(body)
}

func (s *snappyReader) decode(block []byte) error {
	n, err := snappy.DecodedLen(block)
	if err != nil || n > maxSnappyRatio*len(block)+64 {
		return bad("a Snappy block has an impossible length")
	}
	if cap(s.block) < n {
		s.block = make([]byte, n)
	}
	s.block, err = snappy.Decode(s.block[:cap(s.block)], block)
	s.read = 0
	return err
}

func (s *snappyReader) Read(p []byte) (int, error) {
	for s.read == len(s.block) {
		if len(s.rest) == 0 {
			return 0, io.EOF
		}
		if len(s.rest) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(s.rest))
		if n > int64(len(s.rest)-4) {
			return 0, io.ErrUnexpectedEOF
		}
		if err := s.decode(s.rest[4 : 4+n]); err != nil {
			return 0, err
		}
		s.rest = s.rest[4+n:]
	}
	n := copy(p, s.block[s.read:])
	s.read += n
	return n, nil
}
