package kafkaio

import (
	"errors"
	"fmt"
)

// What stops a partition. All three need an operator; following again from the same offset fails the same way.
var (
	// ErrGap: the log begins after the wanted offset, so records were deleted before they were delivered.
	ErrGap = errors.New("gap")
	// ErrRewind: the log ends before the wanted offset, or holds other records than those delivered: the topic was made anew or cut.
	ErrRewind = errors.New("rewind")
	// ErrCorrupt: the bytes at the wanted offset are not a record batch, however often they are fetched.
	ErrCorrupt = errors.New("corrupt batch")
)

// OffsetError is a gap or a rewind with its evidence. errors.Is finds ErrGap or ErrRewind in it.
type OffsetError struct {
	Kind      error // ErrGap or ErrRewind
	Topic     string
	Partition int
	Wanted    int64 // the offset to continue at
	Start     int64 // first offset that the log has
	End       int64 // offset after the log's last record
}

func (e *OffsetError) Error() string {
	if errors.Is(e.Kind, ErrGap) {
		return fmt.Sprintf("gap in %s/%d: offset %d is wanted, but the log begins at %d: %d records were deleted unread; an operator must decide (log reopen)",
			e.Topic, e.Partition, e.Wanted, e.Start, e.Start-e.Wanted)
	}
	return fmt.Sprintf("rewind of %s/%d: offset %d is wanted, but the log now is %d to %d and not the one that was read: the topic was made anew or cut; an operator must decide (log reopen)",
		e.Topic, e.Partition, e.Wanted, e.Start, e.End)
}

// Unwrap returns the kind.
func (e *OffsetError) Unwrap() error { return e.Kind }

// CorruptError says which batch cannot be read and why. errors.Is finds ErrCorrupt in it.
type CorruptError struct {
	Topic     string
	Partition int
	Offset    int64  // the wanted offset, which lies in or after the bad batch
	Reason    string // quotes nothing of the records
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt batch in %s/%d at offset %d: %s", e.Topic, e.Partition, e.Offset, e.Reason)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
