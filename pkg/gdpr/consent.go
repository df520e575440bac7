package gdpr

import "time"

// ConsentState is what a person has said about a purpose.
type ConsentState string

// States of consents. Somebody who was never asked has none, which is as good as ConsentWithdrawn.
const (
	ConsentGranted   ConsentState = "granted"
	ConsentWithdrawn ConsentState = "withdrawn"
)

// Valid says whether it is one of these.
func (s ConsentState) Valid() bool { return s == ConsentGranted || s == ConsentWithdrawn }

// Consent is what a person has said about one purpose (GDPR Art. 7).
type Consent struct {
	Purpose string          `json:"purpose"`
	State   ConsentState    `json:"state"`
	Since   time.Time       `json:"since"`   // when it became that, however often it was said again since
	Changes int             `json:"changes"` // how often the person has said something
	History []ConsentChange `json:"history"`
}

// ConsentChange is one thing that a person has said about a purpose.
type ConsentChange struct {
	ID        string       `json:"id"` // of the entry about it in the log: its event id
	State     ConsentState `json:"state"`
	At        time.Time    `json:"at"`
	Reference string       `json:"reference,omitempty"` // what shows that it was said, such as the number of a form
}

// maxPurposeBytes is enough for a few words, and keeps purposes from being used as notes.
const maxPurposeBytes = 64

// ValidPurpose says whether text can name a purpose: lower case words of letters and digits with single dots or dashes between them, such as
// "marketing.e-mail", beginning with a letter, at most 64 bytes. Purposes stand in the log, so nobody may be named by one.
func ValidPurpose(text string) bool {
	if text == "" || len(text) > maxPurposeBytes || !isLower(text[0]) {
		return false
	}
	between := false // whether the byte before is a dot or a dash
	for i := range len(text) {
		switch c := text[i]; {
		case isLower(c) || '0' <= c && c <= '9':
			between = false
		case (c == '.' || c == '-') && !between:
			between = true
		default:
			return false
		}
	}
	return !between
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
