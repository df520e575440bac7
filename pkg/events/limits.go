package events

// Limits of a record. What exceeds one is refused, so that no later stage needs a case for it.
const (
	// MaxRecordBytes is the limit of a Kafka record's value. It equals the usual
	// message.max.bytes of a broker, and keeps any offset within a span's 31 bits.
	MaxRecordBytes = 1 << 20

	// MaxPublicBytes limits what stands in the clear in an entry: an entry has at most 65,535
	// bytes, of which the header, 64 pseudonyms, key ids, findings and the content's
	// commitments take up to 16 KiB.
	MaxPublicBytes = 48 << 10

	// MaxAttributesBytes limits attributes, counted as compact JSON with the braces. A third of
	// the public part, so that attributes alone never make an entry too large.
	MaxAttributesBytes = 16 << 10

	// MaxDataSubjects limits data_subjects. Each needs a key look-up and 78 bytes of the entry
	// (pseudonym and key id).
	MaxDataSubjects = 64

	// MaxDepth limits nesting; the record's own object is level 1. It bounds the parser's
	// stack and that of whoever reads the opened content later.
	MaxDepth = 64
)

// Limits of single fields, in bytes of the unescaped UTF-8 value.
const (
	// maxTypeBytes: types are a small vocabulary that becomes a LowCardinality column.
	maxTypeBytes = 128

	// maxTenantBytes: tenants are a small vocabulary too, and part of each record key.
	maxTenantBytes = 128

	// maxIdentityBytes limits user_id, an approver and each of data_subjects: room for an
	// e-mail address (254), a SPIFFE or ARN name and a usual distinguished name.
	maxIdentityBytes = 512

	// maxNameBytes limits names and ids that stand in the clear or become tokens; the longest
	// seen in practice (AWS inference profile names, composed session ids) have about 150.
	maxNameBytes = 256

	// maxLevelBytes limits approval.risk and approval.decision: words, not prose.
	maxLevelBytes = 64

	// maxResourceIDBytes leaves room for a URL or an object-store key (1,024) with its bucket.
	maxResourceIDBytes = 2048

	// maxUserAgentBytes is what common HTTP servers accept as one header line.
	maxUserAgentBytes = 8 << 10

	// maxAttributeKeyBytes: keys are names.
	maxAttributeKeyBytes = 256

	// maxNumberBytes limits the digits of a number: the shortest form of any float64 has 24
	// characters, a decimal with 28 digits has 30.
	maxNumberBytes = 32
)

const (
	// maxCount is the largest integer that every JSON implementation keeps exactly (2^53 - 1,
	// RFC 8259, 6).
	maxCount = 1<<53 - 1

	// maxCostUSD is far beyond any single call and far from where float64 loses cents.
	maxCostUSD = 1e9
)

// Event times lie in [2000-01-01, 2200-01-01) UTC, in microseconds since 1970. Earlier or later
// is a clock that was never set or a wrong unit, and ClickHouse's DateTime64(6) ends in 2299.
const (
	minTimeMicros = 946_684_800_000_000
	endTimeMicros = 7_258_118_400_000_000
)
