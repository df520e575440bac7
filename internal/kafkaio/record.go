package kafkaio

import "sync/atomic"

// Record is one Kafka record. Key, Value and Headers alias the memory of the Batch it came with, until that is released.
type Record struct {
	Offset     int64
	TimeMillis int64  // the record's time, or the broker's if the topic says LogAppendTime; Unix milliseconds
	Key        []byte // nil: no key
	Value      []byte // nil: no value (a tombstone); empty, not nil: an empty value
	Headers    []Header
	CutBytes   int64 // what is missing at the end of a record larger than MaxDeliveredBytes; its headers are missing too
}

// Header of a record. Names may repeat.
type Header struct{ Key, Value []byte }

// Header returns the value of the last header of that name, as Kafka's own clients do.
func (r *Record) Header(name string) (value []byte, ok bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if string(r.Headers[i].Key) == name {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// Batch is a run of records of one partition, in the order of their offsets. One goroutine at a time may use it.
type Batch struct {
	Records       []Record // may be empty: markers of transactions, for instance, only move Next
	Next          int64    // where to continue after this batch
	HighWatermark int64    // the offset after the last record that consumers may read; minus Next it is the lag

	// memory is nil once it was given back. It is reused for later batches and the Batch itself never is, so whoever
	// releases twice, or late, cannot take the records of another batch away.
	memory atomic.Pointer[slab]
}

// Release gives the batch's memory back: its records must not be used any more. Releasing twice is harmless.
// A batch that is never released stops its partition once FetchDepth of them are out.
func (b *Batch) Release() {
	if s := b.memory.Swap(nil); s != nil {
		b.Records = nil
		s.recycle()
	}
}
