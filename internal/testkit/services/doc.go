// Package services starts real servers for tests on loopback ports: Apache Kafka from its jars, and PostgreSQL. They keep their data in a folder
// of the caller's and do not outlive this process.
package services
