package store

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// Exception is what ClickHouse answers instead of a result.
type Exception struct {
	Code    int // ClickHouse's ErrorCodes.cpp
	Message string
}

func (e *Exception) Error() string { return fmt.Sprintf("clickhouse code %d: %s", e.Code, e.Message) }

// exceptionText is how ClickHouse writes an exception into a response.
var exceptionText = regexp.MustCompile(`Code: (\d+)\. (?:DB|Coordination)::[A-Za-z]*Exception: `)

// maxMessageBytes keeps logs readable: ClickHouse may repeat a whole statement.
const maxMessageBytes = 300

// parseException finds an exception in the text of a response; nil if there is none.
func parseException(text []byte) *Exception {
	place := exceptionText.FindSubmatchIndex(text)
	if place == nil {
		return nil
	}
	code, err := strconv.Atoi(string(text[place[2]:place[3]]))
	if err != nil {
		return nil
	}
	message := text[place[1]:]
	for _, end := range []string{" (version ", "\n__exception__", "\r\n__exception__"} {
		if i := bytes.Index(message, []byte(end)); i >= 0 {
			message = message[:i]
		}
	}
	message = bytes.TrimSpace(message)
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes]
		for len(message) > 0 && !utf8.Valid(message) {
			message = message[:len(message)-1]
		}
	}
	return &Exception{Code: code, Message: string(message)}
}

// Codes of ClickHouse's exceptions that something here depends on.
const (
	codeUnknownIdentifier     = 47
	codeUnknownTable          = 60
	codeSyntaxError           = 62
	codeUnknownDatabase       = 81
	codeSessionNotFound       = 372
	codeSessionLocked         = 373
	codeReadonly              = 164
	codeTooManyParts          = 252
	codeNotEnoughSpace        = 243
	codeTooManyQueries        = 202
	codeAuthenticationFailed  = 516
	codeAccessDenied          = 497
	codeUnknownUser           = 192
	codeWrongPassword         = 193
	codeRequiredPassword      = 194
	codeUnknownSetting        = 115
	codeSettingConstraint     = 452
	codeNoSuchColumn          = 16
	codeTypeMismatch          = 53
	codeCannotReadAllData     = 33
	codeIncorrectData         = 117
	codeUnknownType           = 50
	codeCannotParseText       = 6
	codeSizesDoNotMatch       = 9
	codeNumberOfColumns       = 20
	codeAttemptToReadAfterEOF = 32
)

// refusals are the codes that ClickHouse raises before the first row of an insert is
// given to the table: the statement, the user, the settings or the data were not
// accepted, or the table could take no further part. What may also come from later,
// when rows may be stored already, is not here: timeouts (159), memory (241),
// cancellation (394), failed writes (75, 76), anything of Keeper (999), a replicated
// table that has just become read-only (242), the quorum (286, 319).
var refusals = map[int]bool{
	codeUnknownIdentifier: true, codeUnknownTable: true, codeSyntaxError: true, codeUnknownDatabase: true,
	codeReadonly: true, codeTooManyParts: true, codeNotEnoughSpace: true, codeTooManyQueries: true,
	codeAuthenticationFailed: true, codeAccessDenied: true, codeUnknownUser: true, codeWrongPassword: true, codeRequiredPassword: true,
	codeUnknownSetting: true, codeSettingConstraint: true, codeNoSuchColumn: true, codeTypeMismatch: true,
	codeCannotReadAllData: true, codeIncorrectData: true, codeUnknownType: true, codeCannotParseText: true,
	codeSizesDoNotMatch: true, codeNumberOfColumns: true, codeAttemptToReadAfterEOF: true,
}
