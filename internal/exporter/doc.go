// Package exporter follows every log in ClickHouse and checks each entry before it vouches for it: it signs the log's checkpoint, which the vault keeps. It
// publishes checkpoints, shows them to witnesses, serves them with tiles and entries over HTTP, and checks old entries again and again. It also sends the
// heartbeats of the topic audit.system and destroys the keys of rejected records when their time has come.
//
// Any number of exporters may run on one vault. They check the same entries, and the vault's compare-and-swap decides which of them moves a checkpoint.
package exporter
