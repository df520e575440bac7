package store

// Limits of an insert. Deduplication tokens fence writers only if one insert is one
// block in the server, so both stay well below the sizes at which a server splits.
const (
	MaxBlockRows  = 100_000
	MaxBlockBytes = 64 << 20
)

// MaxFound bounds Filter.Limit: results are held in memory.
const MaxFound = 100_000
