// Package vault keeps what must be deletable or must change atomically: people's pseudonyms and keys, the keys of the day, the latest checkpoint of each
// log, the successors of reopened logs, and the public keys of the authors of system records. It is a small transactional database, SQLite on one machine
// and PostgreSQL in production; both give the same guarantees and pass the same tests.
//
// Nothing in the database can be read without the key-encryption key (see Keyring), which no backup of the vault holds: identities and keys are encrypted
// row by row, and people are looked up by a keyed hash.
//
// A Vault and a Cache are safe for concurrent use, by goroutines and, on one database, by processes.
package vault
