package chain

// Head is the state of a log that its last entry makes. The zero Size is the empty log. Heads can be compared with ==.
type Head struct {
	Log       string
	Size      uint64 // number of entries; the last one has seq Size-1
	Leaf      Hash   // leaf hash of the last entry; zero for the empty log
	Epoch     uint32 // in which the last entry stands
	NextEpoch uint32 // in which the next entry must stand
	Next      int64  // the Kafka offset at which the next entry begins or later
	Closed    bool   // a close entry was the last: nothing may follow

	// Of the last entry, if it came from a Kafka record; else NoOffset and zeros. Enough to find the record again and see whether it is still the same.
	LastOffset     int64
	LastTimeMillis int64
	LastEventID    [16]byte // zero for a rejected record
}

// Token returns the insert token of the entries that follow this head: ClickHouse accepts one insert with it, so any head has one successor.
// attempt is 0, and one more each time that a token was proven burned.
func (h Head) Token(attempt uint32) string { return "" }

// EmptyHead returns the head of a log that has no entry.
func EmptyHead(log string) Head { return Head{Log: log, LastOffset: NoOffset} }

// HeadOf returns the head that entry makes as the last one of its log. It recomputes the leaf hash.
func HeadOf(entry []byte) (Head, error) { return Head{}, nil }
