// Package chain holds the formats that make a log checkable: sealed entries, their leaf hashes, the links between them, heads and insert tokens,
// and the verifier that follows a log entry by entry.
//
// The package is pure: bytes in, bytes out, no I/O, no clock, no randomness. What another implementation needs to know about the bytes stands in
// docs/formats.md, with golden vectors in schemas/vectors/entries.
//
// Functions without a receiver may be called from any number of goroutines; a Hasher or a Verifier belongs to one goroutine at a time.
package chain
