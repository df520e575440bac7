// Package detector reads agents' events in a consumer group of its own, with the parser that ingest uses, so that what it sees does not depend on
// ClickHouse.
//
// In this form it counts: by family of types and by outcome, and how far it is behind. It raises no alerts yet.
package detector
