// Package libchdb binds libchdb.so, ClickHouse as a library, without cgo.
//
// The engine belongs to the whole process: one [Library], one data directory, any number of
// connections to it. A fault in the engine ends the process, so it runs in a child of its own
// (package engine).
//
// All memory that the engine hands out is freed by Free or Close; a slice from [Result.Bytes]
// aliases it and dies with it.
package libchdb
