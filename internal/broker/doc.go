// Package broker is the embedded Kafka broker: one node that speaks Kafka's protocol (kfake of
// franz-go) with its data on disk. It is for trying out, for tests and for small single nodes.
//
// What it promises beyond kfake, and why:
//   - An acknowledged record survives kill -9: it was written before the answer. A power loss costs
//     at most what came in the last FlushEvery; then the broker refuses to start instead of giving
//     an offset to a second record.
//   - Offsets are never used twice. kfake starts a partition that retention has emptied at 0 again,
//     and cuts a damaged segment silently. Here the end of every partition is noted on disk (package
//     file watermarks.go), and before each start every segment is checked against it (recovery.go).
//   - Retention is explicit for each topic and removes bytes, not only offsets (retention.go).
//   - One process at a time owns the directory, and a request that is no Kafka is refused before it
//     can do harm (guard.go).
package broker
