// Package schemas holds the formats of agentaudit as files, embedded for the binaries.
package schemas

import _ "embed"

// EventSchema is the JSON Schema (2020-12) of the wire event, "agentaudit.event/v1".
//
//go:embed event.schema.json
var EventSchema []byte

// RequestSchema is the JSON Schema (2020-12) of a person's request, over HTTP and Kafka.
//
//go:embed gdpr-request.schema.json
var RequestSchema []byte
