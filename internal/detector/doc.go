// Package detector is the process that notices: it reads agents' events by itself, with the parser and the scanner that ingest uses, so that what it sees does
// not depend on ClickHouse; weighs them with package anomaly; and says incidents on the topic of alerts and in the log.
//
// Of several detectors one is active, by a turn in the vault; the others stand by. What was learned is stored in the vault with the places in Kafka from which
// reading goes on, so that whoever takes over goes on exactly there. What is said twice then is known by what stands on the topic of alerts, and left out.
package detector
