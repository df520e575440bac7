// Package testkit gives tests the real engines: Kafka, ClickHouse and PostgreSQL. Nothing is mocked.
//
// "make test" starts them (cmd/withservices) and names them in the environment:
//
//	AGENTAUDIT_TEST_KAFKA                host:port of an Apache Kafka
//	AGENTAUDIT_TEST_POSTGRES             DSN of a PostgreSQL, of a user who may create schemas
//	AGENTAUDIT_TEST_CLICKHOUSE           http://host:port of any ClickHouse
//	AGENTAUDIT_TEST_CLICKHOUSE_USER      its user, "default" if unset
//	AGENTAUDIT_TEST_CLICKHOUSE_PASSWORD  and password
//
// A test whose engine is not there is skipped and says what is missing; with CI=true it fails. The embedded engines need no variable. Tests
// share engines and stay apart by the names of their topics, schemas and databases.
package testkit
