// Package clickhttp is ClickHouse's HTTP interface in front of libchdb, close enough to a server's
// for unmodified clients: clickhouse-go over HTTP, curl, BI tools.
//
// Each request runs on a connection of the engine whose settings are exactly the request's: idle
// connections are kept by their settings, others are opened for the occasion (a third of a
// millisecond), so nothing of one request reaches another. Only a session (session_id) keeps state.
//
// The data of an INSERT never stands in the SQL text. It is read to its end first, while the
// statement is already in system.processes, and then handed over: a body that is cut stores nothing.
package clickhttp
