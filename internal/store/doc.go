// Package store keeps the entries of all logs in ClickHouse, table `events`.
//
// A Writer extends one log: it inserts Blocks under deduplication tokens, in a
// ClickHouse session that dies with the server process, so that the server itself
// decides which of several writers extends a head (AssertFence checks all that
// this rests on). Everything else reads.
//
// The insert path is net/http and blocks encoded column by column with ch-go's
// primitives; scans decode ClickHouse's Native stream with ch-go; ordinary queries
// go through clickhouse-go. All of it is ClickHouse's HTTP interface, which the
// embedded engine speaks as well as a server.
package store
