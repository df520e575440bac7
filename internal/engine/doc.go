// Package engine runs the embedded ClickHouse: libchdb.so behind ClickHouse's HTTP interface, on
// loopback, in a process of its own. It also fetches the library.
//
// A fault inside the engine ends the process that runs it. [Run] therefore belongs into a child:
// see [Child] for its protocol.
package engine
