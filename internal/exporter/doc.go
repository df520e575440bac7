// Package exporter follows every log in ClickHouse, checks each entry before it vouches for it, and keeps in the vault what it vouches for: the log's
// checkpoint. It also sends the heartbeats of the topic audit.system and destroys the keys of rejected records when their time has come.
//
// Any number of exporters may run on one vault. They check the same entries, and the vault's compare-and-swap decides which of them moves a checkpoint.
//
// Signed checkpoints, tiles, proofs and the query interface are not part of it yet.
package exporter
