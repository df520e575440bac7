package chain

import "time"

// EpochOf returns the epoch that a control entry written at t announces: year*100+month in UTC.
func EpochOf(t time.Time) uint32 {
	t = t.UTC()
	return uint32(t.Year()*100 + int(t.Month()))
}
