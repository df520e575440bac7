// Package kafkaio is everything that speaks to Kafka: it follows partitions, joins consumer groups, produces records and makes topics.
//
// Membership, producing and administration are github.com/segmentio/kafka-go's Client and ConsumerGroup. Following is built one layer below its
// Client.Fetch, on the same library's requests and connections, because what arrives there is decoded by rules that an audit trail cannot
// live with: a record count that a producer made up ends the process, a compressed batch is unpacked whatever its size, and a batch that
// breaks off in the middle is delivered as if it were complete. See decode.go.
//
// Nothing here decides what was processed: the place to continue at comes from the caller, and offsets committed to the group are for
// lag tools only.
package kafkaio
