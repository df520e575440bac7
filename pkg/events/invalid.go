package events

import "strconv"

// Invalid is why a record was refused. It quotes nothing of the record, neither a value nor the
// name of an unknown member, so it may be stored and logged in the clear.
type Invalid struct {
	Field  string // path of the field, such as "usage.input_tokens"; "record" when no known field is to blame
	Reason string // for people; from a small set of texts
}

// Error returns "field: reason".
func (e *Invalid) Error() string { return e.Field + ": " + e.Reason }

// The reasons, apart from those of reasonTooLong and Parser.wrongType, which have a limit or the
// name of a JSON type in them.
const (
	reasonEmpty          = "empty"
	reasonTooLarge       = "larger than 1 MiB"
	reasonBOM            = "starts with a byte order mark; send UTF-8 without one"
	reasonNotObject      = "not a JSON object"
	reasonNotJSON        = "not valid JSON"
	reasonTruncated      = "truncated: it ends inside the JSON object"
	reasonTrailing       = "bytes follow the JSON object"
	reasonDepth          = "nested deeper than 64 levels"
	reasonPublicSize     = "public fields larger than 48 KiB"
	reasonUTF8           = "not valid UTF-8"
	reasonSurrogate      = "contains half of a surrogate pair"
	reasonTwice          = "appears twice"
	reasonTwoMembers     = "an object has two members of one name"
	reasonMissing        = "missing"
	reasonNUL            = "contains a NUL character"
	reasonRawControl     = "contains a control character that is not escaped"
	reasonControl        = "contains a control character"
	reasonSlash          = "contains a slash, which separates tenant and user in the record key"
	reasonSchema         = "must be agentaudit.event/v1"
	reasonType           = "must be lower-case words joined by dots, such as tool.call"
	reasonOutcome        = "must be success, failure, denied, blocked or pending"
	reasonUUID           = "must be a UUID in its 36 character form"
	reasonNilUUID        = "must not be the nil UUID"
	reasonTime           = "must be an RFC 3339 time with a zone, such as 2026-11-20T21:14:05.123Z"
	reasonLeapSecond     = "leap seconds (:60) cannot be stored; send the second that follows"
	reasonBefore2000     = "before the year 2000"
	reasonAfter2199      = "after the year 2199"
	reasonNegative       = "must not be negative"
	reasonNotWhole       = "must be a whole number, written without fraction or exponent"
	reasonCountRange     = "larger than 9007199254740991"
	reasonCostRange      = "larger than 1000000000"
	reasonNotFinite      = "not a finite number"
	reasonNumberLength   = "longer than 32 characters"
	reasonAttributesSize = "larger than 16 KiB"
	reasonKeyEmpty       = "a key is empty"
	reasonKeyLong        = "a key is longer than 256 bytes"
	reasonKeyControl     = "a key contains a control character"
	reasonManySubjects   = "more than 64 entries"
	reasonSubjectEmpty   = "an entry is empty"
)

// reasonTooLong says that a string exceeds limit bytes.
func reasonTooLong(limit int) string {
	return "longer than " + strconv.Itoa(limit) + " bytes"
}
