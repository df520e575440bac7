package chain

import "time"

// Epochs are ClickHouse partitions and the unit of retention: one month each. They are a function of the chain, not of a clock: entry n stands in the
// epoch that the latest control entry before it announced, and entry 0 in epoch 0, which retention never drops.

// EpochOf returns the epoch that a control entry written at t announces: year*100+month in UTC.
func EpochOf(t time.Time) uint32 {
	t = t.UTC()
	return uint32(t.Year()*100 + int(t.Month()))
}

// announceable says whether epoch is year*100+month, with four digits of year so that epochs sort alike as numbers and as text.
func announceable(epoch uint32) bool {
	return epoch >= 100001 && epoch <= 999912 && epoch%100 >= 1 && epoch%100 <= 12
}
