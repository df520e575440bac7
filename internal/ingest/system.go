package ingest

import (
	"bytes"
	"context"
	"encoding/base64"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// sealSystem seals a record of our own processes: its bytes as they were signed,
// with the author's name and signature, so that whoever acts on the entry later can
// check them again. A record that is not what it claims is sealed as rejected.
func (s *recordSealer) sealSystem(ctx context.Context, rec *kafkaio.Record, now time.Time) (chain.Kind, error) {
	author, sig, err := s.checkSystem(ctx, rec)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err != nil {
		return s.reject(ctx, rec, err, now)
	}
	s.row = store.Row{Event: &s.event, PublicAttributes: true}
	// A system record names no person: its resource stands in the clear.
	s.row.ResourceID = s.stands(slotResource, PolicyClear, events.FieldResourceID, gdpr.TagResource)
	s.body = chain.AppendSystem(s.body[:0], author, sig, rec.Value)
	return chain.KindSystem, nil
}

// personalFields may not stand in a system record: its bytes are kept in the clear for ever.
var personalFields = []struct {
	field events.Field
	name  string
}{
	{events.FieldUserID, "user_id"}, {events.FieldSessionID, "session_id"}, {events.FieldConversationID, "conversation_id"},
	{events.FieldSourceIP, "source.ip"}, {events.FieldSourceUserAgent, "source.user_agent"}, {events.FieldErrorMessage, "error.message"},
	{events.FieldApprovalApprover, "approval.approver"}, {events.FieldContentInput, "content.input"}, {events.FieldContentOutput, "content.output"},
}

func (s *recordSealer) checkSystem(ctx context.Context, rec *kafkaio.Record) (author string, sig []byte, err error) {
	if err := s.parse(rec); err != nil {
		return "", nil, err
	}
	switch {
	case len(rec.Value) > events.MaxPublicBytes:
		return "", nil, &events.Invalid{Field: "record", Reason: "larger than a system record may be"}
	case rec.Value[0] != '{' || rec.Value[len(rec.Value)-1] != '}':
		return "", nil, &events.Invalid{Field: "record", Reason: "a system record has no white space around it"}
	case bytes.IndexByte(rec.Value, '\n') >= 0:
		return "", nil, &events.Invalid{Field: "record", Reason: "a system record stands on one line"}
	case !s.event.Reserved():
		return "", nil, &events.Invalid{Field: "type", Reason: "not one of agentaudit's own records"}
	case s.event.NumDataSubjects() > 0:
		return "", nil, &events.Invalid{Field: "data_subjects", Reason: "not allowed in a system record"}
	case s.event.NumUnknown() > 0:
		return "", nil, &events.Invalid{Field: "record", Reason: "unknown members are not allowed in a system record"}
	}
	for _, f := range personalFields {
		if s.event.Has(f.field) {
			return "", nil, &events.Invalid{Field: f.name, Reason: "not allowed in a system record"}
		}
	}
	name, _ := rec.Header(gdpr.HeaderAuthor)
	text, _ := rec.Header(gdpr.HeaderSignature)
	if len(name) == 0 || len(text) == 0 {
		return "", nil, &events.Invalid{Field: "signature", Reason: "missing"}
	}
	sig, decodeErr := base64.StdEncoding.DecodeString(string(text))
	if decodeErr != nil {
		return "", nil, &events.Invalid{Field: "signature", Reason: "not base64"}
	}
	known, found, err := s.authors.find(ctx, string(name))
	switch {
	case err != nil:
		return "", nil, err
	case !found:
		return "", nil, &events.Invalid{Field: "author", Reason: "unknown"}
	case !gdpr.VerifySystem(known.Key, rec.Value, sig):
		return "", nil, &events.Invalid{Field: "signature", Reason: "does not verify"}
	}
	return known.Name, sig, nil
}

// authors finds the public keys of those who sign system records. A name's key never
// changes, so what was found is kept; an unknown name is asked for each time, since
// a record that is rejected stays so. It belongs to one goroutine.
type authors struct {
	vault *vault.Vault
	wait  patience
	known map[string]vault.Author
}

// find fails when ctx ends, or with errVault. A name that no author can have is not
// asked for: whoever can write the topic chose it.
func (a *authors) find(ctx context.Context, name string) (vault.Author, bool, error) {
	if author, ok := a.known[name]; ok {
		return author, true, nil
	}
	if !chain.ValidAuthor(name) {
		return vault.Author{}, false, nil
	}
	var author vault.Author
	var found bool
	err := a.wait.ask(ctx, "author of a system record", func() (err error) {
		author, found, err = a.vault.Author(ctx, name)
		return err
	})
	if err == nil && found {
		a.known[name] = author
	}
	return author, found, err
}
