package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/internal/inspect"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// findingKeyMismatch marks an event whose Kafka key names another person than its
// body: its order among that person's events is not assured.
const findingKeyMismatch = "kafka.key_mismatch"

// findingErased marks an event from before the erasure of somebody whom it names, which arrived after it: that person is nobody in it, and it has no content.
const findingErased = "gdpr.erased"

// recordSealer turns one record at a time into the part of an entry that does not
// depend on its place in the log. What it returns is valid until the next call.
// It belongs to one goroutine and does not allocate in the steady state.
type recordSealer struct {
	fields  FieldPolicies
	people  *people
	days    *dayKeys
	authors *authors
	tokens  *gdpr.Sealer
	parser  *events.Parser
	inspect *inspect.Inspector

	event events.Event
	row   store.Row
	body  []byte

	subject   person
	others    []person
	noContent bool // somebody whose content it is was erased
	keys      []*gdpr.Prepared
	sealed    gdpr.Sealed
	plain     []byte
	cipher    []byte

	tokenText [numSlots][2 * tokenBytes]byte
	clearText [numSlots][]byte
	findings  []string
	subjects  [][16]byte
}

const tokenBytes = 16

// The identifying fields for which something may stand in the entry; each has memory of its own.
const (
	slotSession = iota
	slotConversation
	slotIP
	slotResource
	numSlots
)

// sealerDeps is what the sealers of all partitions share.
type sealerDeps struct {
	fields FieldPolicies
	vault  *vault.Vault
	cache  *vault.Cache
	scan   *scan.Scanner
	wait   patience
	// partition whose records are sealed, as suppressions name it: `<topic>/<partition>`.
	partition string
}

func newRecordSealer(deps sealerDeps) (*recordSealer, error) {
	searchKey := deps.vault.SearchKey()
	tokens, err := gdpr.NewSealer(&searchKey)
	if err != nil {
		return nil, err
	}
	s := &recordSealer{
		fields:  deps.fields,
		people:  newPeople(deps.cache, deps.partition, deps.wait),
		days:    &dayKeys{vault: deps.vault, wait: deps.wait},
		authors: &authors{vault: deps.vault, wait: deps.wait, known: map[string]vault.Author{}},
		tokens:  tokens,
		parser:  events.NewParser(),
		inspect: inspect.New(deps.scan),
	}
	for i := range s.clearText {
		s.clearText[i] = make([]byte, 0, scratchBytes)
	}
	return s, nil
}

// sealEvent seals a record of agents' events as an event, or as rejected. ahead are
// the records behind it, whose people are looked up with its own when the
// vault has to be asked anyway. It fails only when ctx ends.
func (s *recordSealer) sealEvent(ctx context.Context, rec *kafkaio.Record, ahead []kafkaio.Record, now time.Time) (chain.Kind, error) {
	if err := s.parse(rec); err != nil {
		return s.reject(ctx, rec, err, now)
	}
	if s.event.Reserved() {
		return s.reject(ctx, rec, &events.Invalid{Field: "type", Reason: "reserved for agentaudit's own records"}, now)
	}
	if err := s.people.lookUp(ctx, s, rec, ahead); err != nil {
		return 0, err
	}
	s.row = store.Row{Event: &s.event, PublicAttributes: s.fields.Attributes == PolicyClear}
	s.fillPeople()
	s.fillTokens()
	s.fillFindings(rec)
	if err := s.sealContent(); err != nil {
		return s.reject(ctx, rec, &events.Invalid{Field: "record", Reason: "cannot be sealed: " + err.Error()}, now)
	}
	s.body = s.appendBody(s.body[:0])
	return chain.KindEvent, nil
}

// parse reads the record with the one parser.
func (s *recordSealer) parse(rec *kafkaio.Record) error {
	if rec.CutBytes > 0 {
		return &events.Invalid{Field: "record", Reason: fmt.Sprintf("larger than %d bytes", events.MaxRecordBytes)}
	}
	return s.parser.Parse(rec.Value, &s.event)
}

func (s *recordSealer) fillPeople() {
	if s.event.Has(events.FieldUserID) && !s.subject.nobody {
		s.row.Subject = s.subject.ID
	}
	s.keys = append(s.keys[:0], &s.subject.Keys)
	s.noContent = s.subject.nobody
	s.subjects = s.subjects[:0]
	for i := range s.others {
		other := &s.others[i]
		if other.nobody {
			// Content goes with any of those whose it is. Of an approver there is nothing in it.
			s.noContent = s.noContent || other.role == roleDataSubject
			continue
		}
		switch other.role {
		case roleApprover:
			s.row.Approver = other.ID
		case roleDataSubject:
			// A person named twice, or the acting person named again, stands here once:
			// a content key is made of distinct keys.
			if !s.subject.nobody && other.ID == s.subject.ID || slices.Contains(s.subjects, [16]byte(other.ID)) {
				continue
			}
			s.subjects = append(s.subjects, other.ID)
			s.keys = append(s.keys, &other.Keys)
		}
	}
	s.row.DataSubjects = s.subjects
}

func (s *recordSealer) fillTokens() {
	s.row.SessionID = s.stands(slotSession, s.fields.SessionID, events.FieldSessionID, gdpr.TagSession)
	s.row.ConversationID = s.stands(slotConversation, s.fields.ConversationID, events.FieldConversationID, gdpr.TagConversation)
	s.row.IP = s.stands(slotIP, s.fields.SourceIP, events.FieldSourceIP, gdpr.TagIP)
	s.row.ResourceID = s.stands(slotResource, s.fields.ResourceID, events.FieldResourceID, gdpr.TagResource)
}

// stands returns what stands for an identifying field in the entry; nil if nothing does.
func (s *recordSealer) stands(slot int, policy Policy, field events.Field, tag byte) []byte {
	if policy == PolicySealed || !s.event.Has(field) || s.subject.nobody && (field != events.FieldResourceID || policy != PolicySearch) {
		return nil // what is the person's own goes with the person
	}
	value := s.event.Value(field, s.clearText[slot])
	var token [tokenBytes]byte
	switch policy {
	case PolicyClear:
		// Copied, so that the slot's memory stays the sealer's own.
		s.clearText[slot] = append(s.clearText[slot][:0], value...)
		return s.clearText[slot]
	case PolicySearch:
		token = s.tokens.SearchToken(tag, value)
	default:
		token = s.tokens.SubjectToken(&s.subject.Keys, tag, value)
	}
	hex.Encode(s.tokenText[slot][:], token[:])
	return s.tokenText[slot][:]
}

func (s *recordSealer) fillFindings(rec *kafkaio.Record) {
	s.findings = s.findings[:0]
	if len(rec.Key) > 0 {
		if !events.KeyMatches(rec.Key, s.people.tenant, s.people.user(&s.event)) {
			s.findings = append(s.findings, findingKeyMismatch)
		}
	}
	if s.noContent {
		s.findings = append(s.findings, findingErased)
	} else {
		// Of content that is kept nobody's, nothing is told either.
		found, threat := s.inspect.Inspect(&s.event)
		for i := range found {
			s.findings = append(s.findings, found[i].Name)
		}
		s.row.Threat = store.Threat(threat)
	}
	s.row.Findings = s.findings
}

// sealContent encrypts what the public part does not show. An event without any
// such part has no content.
func (s *recordSealer) sealContent() error {
	if s.noContent {
		return nil
	}
	s.plain = s.appendContent(s.plain[:0])
	if len(s.plain) == len("{}") {
		return nil
	}
	return s.encrypt()
}

func (s *recordSealer) encrypt() error {
	cipher, err := s.tokens.Seal(s.cipher[:0], s.plain, s.keys, &s.sealed)
	if err != nil {
		return err
	}
	s.cipher = cipher
	s.row.Ciphertext, s.row.Algorithm, s.row.Keys = cipher, s.sealed.Algorithm, s.sealed.Keys
	return nil
}

// appendBody appends the entry's body from what the row and the event hold.
func (s *recordSealer) appendBody(dst []byte) []byte {
	if s.row.Subject != ([16]byte{}) {
		dst = append(dst, `"subject":"`...)
		dst = events.UUID(s.row.Subject).AppendTo(dst)
		dst = append(dst, `",`...)
	}
	if len(s.row.DataSubjects) > 0 {
		dst = append(dst, `"data_subjects":[`...)
		for _, id := range s.row.DataSubjects {
			dst = append(dst, '"')
			dst = events.UUID(id).AppendTo(dst)
			dst = append(dst, '"', ',')
		}
		dst = append(closeWith(dst, ']'), ',')
	}
	dst = append(dst, `"event":`...)
	dst = append(s.appendEvent(dst), ',')
	if s.row.IP != nil {
		dst = appendText(dst, "ip", s.row.IP)
	}
	if len(s.row.Findings) > 0 {
		dst = append(dst, `"findings":[`...)
		for _, f := range s.row.Findings {
			dst = append(events.AppendQuotedString(dst, f), ',')
		}
		dst = append(closeWith(dst, ']'), ',')
	}
	if s.row.Threat != store.ThreatNone {
		dst = append(dst, `"threat":"`...)
		dst = append(dst, s.row.Threat.String()...)
		dst = append(dst, '"', ',')
	}
	if s.row.Ciphertext != nil {
		dst = append(dst, `"content":`...)
		dst = append(gdpr.AppendSealed(dst, &s.sealed), ',')
	}
	return dst[:len(dst)-1]
}

// reject seals a record that cannot be accepted: the reason in the clear, the record
// itself under the key of the day. Nothing that arrived vanishes.
func (s *recordSealer) reject(ctx context.Context, rec *kafkaio.Record, cause error, now time.Time) (chain.Kind, error) {
	var invalid *events.Invalid
	if !errors.As(cause, &invalid) {
		// Parsers promise *Invalid. Anything else might quote the record.
		invalid = &events.Invalid{Field: "record", Reason: "not acceptable"}
	}
	key, err := s.days.key(ctx, now)
	if err != nil {
		return 0, err
	}
	s.row = store.Row{}
	s.keys = append(s.keys[:0], key)
	s.plain = appendRejectedContent(s.plain[:0], rec.Key, rec.Value)
	if err := s.encrypt(); err != nil {
		return 0, fmt.Errorf("seal rejected record at offset %d: %w", rec.Offset, err)
	}
	s.body = chain.AppendRejected(s.body[:0], &chain.Rejected{Field: invalid.Field, Reason: invalid.Reason, Bytes: len(rec.Value) + int(rec.CutBytes)})
	s.body = append(s.body, `,"content":`...)
	s.body = gdpr.AppendSealed(s.body, &s.sealed)
	return chain.KindRejected, nil
}

// person is a cached subject and why the event names it.
type person struct {
	vault.CachedSubject
	role   role
	nobody bool // was erased, and the record is from before; the subject is not to be used
}

type role uint8

const (
	roleDataSubject role = iota + 1
	roleApprover
)
