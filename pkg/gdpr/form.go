package gdpr

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Form is a person's request as it comes from outside, over HTTP or Kafka, after it was read: schemas/gdpr-request.schema.json.
type Form struct {
	ID              string // the caller's own, a UUID in lower case
	Kind            RequestKind
	Tenant          string // empty: what the caller's key is limited to
	User            string
	Submitted       time.Time // when the person asked
	VerifiedBy      string    // who has checked that it is the person's, if anybody says so
	SuppressForever bool      // of an erasure
}

// FormError says which field of a request is wrong, and why. It quotes nothing of it.
type FormError struct{ Field, Reason string }

func (e *FormError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Limits of a request, in bytes. What names a person has those of an event.
const (
	MaxFormBytes   = 64 << 10
	maxTenantBytes = 128
	maxUserBytes   = 512
	maxByBytes     = 256
	maxTimeBytes   = 64
)

const (
	// MaxFormAge is how long ago a person may have asked: beyond it is rather a mistyped year. A request is due after a month, three if it was extended.
	MaxFormAge = 92 * 24 * time.Hour
	// maxAhead is how much the caller's clock may be ahead of ours.
	maxAhead = 5 * time.Minute
)

// IdentityTypes are the kinds of identities that a request may name, by the names of OpenDSR. Each is compared with the user_id of events as it is.
func IdentityTypes() []string { return []string{"controller_customer_id", "email"} }

// FormTypes are the types of requests by the names of OpenDSR, and restriction, which OpenDSR does not have.
func FormTypes() []string { return []string{"access", "portability", "erasure", "restriction"} }

// kindOf is our kind for a type; "" if there is none.
func kindOf(formType string) RequestKind {
	switch formType {
	case "access", "portability":
		return RequestExport
	case "erasure":
		return RequestErasure
	case "restriction":
		return RequestRestriction
	}
	return ""
}

// form is the JSON: the members of OpenDSR 1.0 (specification.md of github.com/opengdpr/OpenDSR, 7.1), and three of our own.
type form struct {
	Regulation   *string        `json:"regulation"`
	ID           *string        `json:"subject_request_id"`
	Type         *string        `json:"subject_request_type"`
	Submitted    *string        `json:"submitted_time"`
	Identities   []formIdentity `json:"subject_identities"`
	APIVersion   *string        `json:"api_version"`
	CallbackURLs []string       `json:"status_callback_urls"`
	Extensions   map[string]any `json:"extensions"` // for others

	Tenant          *string `json:"tenant"`
	VerifiedBy      *string `json:"verified_by"`
	SuppressForever bool    `json:"suppress_forever"`
}

type formIdentity struct {
	Type   *string `json:"identity_type"`
	Value  *string `json:"identity_value"`
	Format *string `json:"identity_format"`
}

// ParseForm reads a request. now is what its time is compared with. The error is a *FormError.
func ParseForm(text []byte, now time.Time) (Form, error) {
	if len(text) > MaxFormBytes {
		return Form{}, &FormError{"", "it has more than 64 KiB"}
	}
	var in form
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true), formNulls); err != nil {
		return Form{}, formError(err)
	}
	var f Form
	for _, read := range []func(in *form, f *Form, now time.Time) *FormError{readKind, readWho, readRest, readSubmitted} {
		if err := read(&in, &f, now); err != nil {
			return Form{}, err
		}
	}
	return f, nil
}

// errNull: null stands for a value that is another thing than none.
var errNull = errors.New("null")

// formNulls refuses null, which would count as a member that is not there.
var formNulls = json.WithUnmarshalers(json.JoinUnmarshalers(
	notNull[**string](), notNull[*bool](), notNull[*[]string](), notNull[*[]formIdentity](), notNull[*map[string]any](),
))

func notNull[T any]() *json.Unmarshalers {
	return json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ T) error {
		if d.PeekKind() == 'n' {
			return errNull
		}
		return errors.ErrUnsupported // goes on as usual
	})
}

// formError says in words of ours what is wrong with the JSON: the library's quote names of members, and those may be anything.
func formError(err error) *FormError {
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &FormError{"", "two members of an object have the same name"}
	case errors.Is(err, json.ErrUnknownName):
		return &FormError{"", "it has a member that is not known"}
	case errors.As(err, &semantic):
		return &FormError{"", "a member has another type than it must have"}
	}
	return &FormError{"", "it is no JSON object"}
}

func readKind(in *form, f *Form, _ time.Time) *FormError {
	switch {
	case in.Regulation != nil && *in.Regulation != "gdpr" && *in.Regulation != "ccpa":
		return &FormError{"regulation", "gdpr or ccpa expected"}
	case in.ID == nil:
		return &FormError{"subject_request_id", "is missing"}
	case in.Type == nil:
		return &FormError{"subject_request_type", "is missing"}
	case in.APIVersion != nil && !strings.HasPrefix(*in.APIVersion, "1."):
		return &FormError{"api_version", "1.0 is what is understood here"}
	}
	id, err := uuid.Parse(*in.ID)
	if err != nil || len(*in.ID) != len(id.String()) || id == (uuid.UUID{}) {
		return &FormError{"subject_request_id", "a UUID expected"}
	}
	f.ID = id.String()
	if f.Kind = kindOf(*in.Type); f.Kind == "" {
		return &FormError{"subject_request_type", "access, portability, erasure or restriction expected"}
	}
	return nil
}

func readWho(in *form, f *Form, _ time.Time) *FormError {
	if len(in.Identities) != 1 {
		return &FormError{"subject_identities", "one identity expected: a request is about one user_id"}
	}
	who := &in.Identities[0]
	switch {
	case who.Type == nil || *who.Type != "controller_customer_id" && *who.Type != "email":
		return &FormError{"identity_type", "controller_customer_id or email expected"}
	case who.Format == nil || *who.Format != "raw":
		return &FormError{"identity_format", "raw expected: a hash of a name leads to nobody here"}
	case who.Value == nil:
		return &FormError{"identity_value", "is missing"}
	}
	f.User = *who.Value
	if err := checkText("identity_value", f.User, maxUserBytes); err != nil {
		return err
	}
	if in.Tenant == nil {
		return nil
	}
	f.Tenant = *in.Tenant
	if strings.Contains(f.Tenant, "/") {
		return &FormError{"tenant", "has a slash"}
	}
	return checkText("tenant", f.Tenant, maxTenantBytes)
}

func readRest(in *form, f *Form, _ time.Time) *FormError {
	switch {
	case len(in.CallbackURLs) > 0:
		return &FormError{"status_callback_urls", "nobody is called back from here: leave it out, and ask for the status"}
	case in.SuppressForever && f.Kind != RequestErasure:
		return &FormError{"suppress_forever", "is for erasures"}
	}
	f.SuppressForever = in.SuppressForever
	if in.VerifiedBy == nil {
		return nil
	}
	f.VerifiedBy = *in.VerifiedBy
	return checkText("verified_by", f.VerifiedBy, maxByBytes)
}

func readSubmitted(in *form, f *Form, now time.Time) *FormError {
	if in.Submitted == nil {
		return &FormError{"submitted_time", "is missing"}
	}
	at, err := time.Parse(time.RFC3339Nano, *in.Submitted)
	switch {
	case err != nil || len(*in.Submitted) > maxTimeBytes || strings.ContainsRune(*in.Submitted, ','): // which Go takes for a point
		return &FormError{"submitted_time", "a time as in RFC 3339 expected"}
	case at.After(now.Add(maxAhead)):
		return &FormError{"submitted_time", "lies in the future"}
	case at.Before(now.Add(-MaxFormAge)):
		return &FormError{"submitted_time", "is more than three months ago"}
	}
	f.Submitted = at.UTC()
	return nil
}

// checkText refuses what cannot be a line of text: what is no name of anybody in an event either.
func checkText(field, text string, limit int) *FormError {
	switch {
	case text == "":
		return &FormError{field, "is empty"}
	case len(text) > limit:
		return &FormError{field, "is too long"}
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }):
		return &FormError{field, "has control characters"}
	}
	return nil
}

// ParseVerification reads who has checked that a request is the person's: {"verified_by": "…"}. The error is a *FormError.
func ParseVerification(text []byte) (by string, err error) {
	var in struct {
		VerifiedBy string `json:"verified_by"`
	}
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil {
		return "", formError(err)
	}
	if err := checkText("verified_by", in.VerifiedBy, maxByBytes); err != nil {
		return "", err
	}
	return in.VerifiedBy, nil
}
