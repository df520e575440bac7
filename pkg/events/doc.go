// Package events holds the wire event of agentaudit (schema "agentaudit.event/v1"): the one
// strict parser that every process uses, the Record that Go services fill in, and the Emitter
// that sends it.
//
// Two parsers that disagree about one record are a hole in an audit trail: with a duplicate
// user_id one takes the first and another the last. So there is one, and it refuses whatever
// JSON parsers are known to differ about: duplicate names at every level, invalid UTF-8, halves
// of surrogate pairs. What it accepts, any other strict JSON parser accepts with the same values.
//
// The format is described in docs/events.md and schemas/event.schema.json; the files in
// schemas/vectors/events let another implementation check itself.
package events
