// Package broker is the embedded Kafka broker: one node that speaks Kafka's protocol (kfake of
// franz-go) with its data on disk. It is for trying out, for tests and for small single nodes.
//
// What it promises beyond kfake, and why:
//   - An acknowledged record survives kill -9: it was written before the answer. A power loss costs
//     at most what came since the last flush, a second ago.
//   - kfake starts a partition that retention has emptied at offset 0 again, and cuts a damaged
//     segment silently, so that offsets are given out twice. Here the end of every partition is
//     noted on disk at each flush (watermarks.go), and before each start every segment is checked
//     against it (recovery.go): an emptied partition goes on where it was, and damage to flushed
//     records refuses the start, naming the file and the remedy.
//   - A write that fails, a full disk say, ends the broker: kfake would go on and could acknowledge
//     the repetition of a record that it did not store.
//   - Retention is explicit for each topic and removes bytes, not only offsets (retention.go).
//   - What Apache Kafka refuses and kfake would take is refused: names that are none, and batches whose
//     records are not those that they announce (refuse.go).
//   - One process at a time owns the directory, and a request that is no Kafka is refused before it
//     can do harm (guard.go).
package broker
