package store

// Stored is a row with all of its columns.
type Stored struct{}
