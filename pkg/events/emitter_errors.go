package events

import "errors"

// What an Emitter reports; an event that the parser refuses is an *Invalid.
var (
	// ErrQueueFull: no spool is configured and the queue in memory is full. The
	// event was not accepted.
	ErrQueueFull = errors.New("the emitter's queue is full")

	// ErrSpoolFull: the spool has reached its limit, or its disk is full. The
	// event was not accepted.
	ErrSpoolFull = errors.New("the emitter's spool is full")

	// ErrSpoolLocked: another process has this spool directory. Every process
	// needs one of its own.
	ErrSpoolLocked = errors.New("the spool belongs to another running process: give each its own SpoolDir")

	// ErrSpoolKey: the spool holds events written under a key that was not given.
	ErrSpoolKey = errors.New("the spool was written under another key: add it to SpoolOldKeys, or move the directory away")

	// ErrClosed: the emitter was closed.
	ErrClosed = errors.New("the emitter is closed")

	// ErrRefused: Kafka refuses this event for good (larger than the topic's
	// max.message.bytes, say). It was given up.
	ErrRefused = errors.New("kafka refuses the event")

	// ErrExpired: the event waited in the spool for longer than SpoolMaxAge. It
	// was given up.
	ErrExpired = errors.New("the event waited in the spool for too long")

	// ErrUnsent: Close gave events up that were neither in Kafka nor in a spool.
	ErrUnsent = errors.New("events were neither sent nor spooled")
)

// reasonReserved: ingest would seal such an event as rejected.
const reasonReserved = "belongs to a family that is reserved (audit, gdpr, retention, alert)"
