// Package ingest turns Kafka records into sealed entries, each exactly once. It
// is the only writer of the table of entries.
//
// The way of a record, for each partition on its own:
//
//	kafkaio.Follow ─▶ assembler ─▶ ledger.Writer ─▶ ClickHouse
//	                  │ recordSealer: parse, pseudonyms and keys (vault),
//	                  │ tokens, content sealed, body of the entry
//	                  └ entry chained to the one before, columns
//
// The three stages run side by side, joined by channels that hold one element, so
// that a store which does not answer stops the fetching and memory is bounded
// whatever the backlog. The place in Kafka is read from the stored head; the
// group's committed offsets are for lag tools.
package ingest
