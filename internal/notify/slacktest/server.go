// Package slacktest is a Slack for tests, stricter than the real one: what Slack documents as a limit is refused, and messages keep their place.
//
// It knows chat.postMessage, chat.update, conversations.history and conversations.replies, with metadata. It has no clock of its own, so it can be run in a
// bubble of testing/synctest.
package slacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Message is what stands in a channel.
type Message struct {
	Channel  string          `json:"channel"`
	TS       string          `json:"ts"`
	ThreadTS string          `json:"thread_ts,omitempty"`
	Text     string          `json:"text"`
	Blocks   json.RawMessage `json:"blocks,omitempty"`
	Metadata Metadata        `json:"metadata"`
	Edits    int             `json:"-"`
	// Broadcast: the reply stands in the channel too.
	Broadcast bool      `json:"-"`
	Posted    time.Time `json:"-"`
}

// Metadata is that of a message.
type Metadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

// Fault is what happens to a request instead of an answer.
type Fault struct {
	Status     int    // 0: 200
	RetryAfter string // header
	Code       string // error of the API
	// Store has the request take effect all the same.
	Store bool
	// Hang never answers: the client gives up.
	Hang bool
}

// Call is one request.
type Call struct {
	Method, Channel string
	At              time.Time
}

// Server answers Slack's Web API. Safe for concurrent use.
type Server struct {
	token    string
	channels map[string]string // name: id

	mu       sync.Mutex
	messages []*Message
	calls    []Call
	last     map[string]time.Time // the last message of a channel
	faults   map[string][]Fault   // by method, each for one request
	down     *Fault               // for all
	serial   int
	refused  []string // why requests were refused that a client should not have sent
}

// New returns a Slack with channels; the token is that of an app that may do everything.
func New(token string, channels map[string]string) *Server {
	return &Server{token: token, channels: channels, last: map[string]time.Time{}, faults: map[string][]Fault{}}
}

// Script has the next requests to a method fail, one each.
func (s *Server) Script(method string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = append(s.faults[method], faults...)
}

// Down has all requests fail, until it is called with nil.
func (s *Server) Down(fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = fault
}

// Messages returns what stands in a channel, in order; threads too, unless broadcast.
func (s *Server) Messages(channel string) (top, replies []Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		switch {
		case m.Channel != channel:
		case m.ThreadTS == "":
			top = append(top, *m)
		default:
			replies = append(replies, *m)
		}
	}
	return top, replies
}

// Delete removes a message, as somebody in Slack may.
func (s *Server) Delete(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return m.Channel == channel && m.TS == ts })
}

// Calls returns all requests.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Refused says what a client sent that it should not have; scripted faults are not in it.
func (s *Server) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// answer is a map that becomes JSON.
type answer map[string]any

// apiError is an error of the API.
type apiError struct {
	code, why  string
	retryAfter int
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.URL.Path[1:]
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form", http.StatusBadRequest)
		return
	}
	fault, body, failed := s.handle(method, r)
	if fault != nil && fault.Hang {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fault != nil:
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		if fault.Status != 0 {
			w.WriteHeader(fault.Status)
		}
		write(w, answer{"ok": false, "error": fault.Code})
	case failed != nil && failed.retryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(failed.retryAfter))
		w.WriteHeader(http.StatusTooManyRequests)
		write(w, answer{"ok": false, "error": failed.code})
	case failed != nil:
		write(w, answer{"ok": false, "error": failed.code})
	default:
		body["ok"] = true
		write(w, body)
	}
}

// write ignores that a client has gone.
func write(w http.ResponseWriter, body answer) { _ = json.NewEncoder(w).Encode(body) }

func (s *Server) handle(method string, r *http.Request) (*Fault, answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{method, r.Form.Get("channel"), time.Now()})
	fault := s.down
	if list := s.faults[method]; fault == nil && len(list) > 0 {
		fault, s.faults[method] = &list[0], list[1:]
	}
	if fault != nil && !fault.Store {
		return fault, nil, nil
	}
	body, failed := s.do(method, r)
	if failed != nil {
		s.refused = append(s.refused, fmt.Sprintf("%s: %s %s", method, failed.code, failed.why))
	}
	return fault, body, failed
}

func (s *Server) do(method string, r *http.Request) (answer, *apiError) {
	if r.Method != http.MethodPost {
		return nil, &apiError{code: "invalid_arguments", why: r.Method}
	}
	if r.Form.Get("token") != s.token && r.Header.Get("Authorization") != "Bearer "+s.token {
		return nil, &apiError{code: "invalid_auth"}
	}
	channel := r.Form.Get("channel")
	known := false
	for name, id := range s.channels {
		if channel == id || channel == name && method == "chat.postMessage" {
			channel, known = id, true
			break
		}
	}
	if !known {
		return nil, &apiError{code: "channel_not_found"}
	}
	switch method {
	case "chat.postMessage":
		return s.post(channel, r)
	case "chat.update":
		return s.update(channel, r)
	case "conversations.history":
		return s.history(channel, r)
	case "conversations.replies":
		return s.replies(channel, r)
	}
	return nil, &apiError{code: "unknown_method", why: method}
}

// patience is how much earlier than a second after the last a message may come: two clocks and a network are between.
const patience = 100 * time.Millisecond

func (s *Server) post(channel string, r *http.Request) (answer, *apiError) {
	now := time.Now()
	if now.Sub(s.last[channel]) < time.Second-patience {
		return nil, &apiError{code: "ratelimited", why: "two messages within a second", retryAfter: 1}
	}
	m := &Message{Channel: channel, Text: r.Form.Get("text"), ThreadTS: r.Form.Get("thread_ts"), Broadcast: r.Form.Get("reply_broadcast") == "true", Posted: now}
	if err := m.fill(r); err != nil {
		return nil, err
	}
	if m.ThreadTS != "" && s.find(channel, m.ThreadTS) == nil {
		return nil, &apiError{code: "thread_not_found"}
	}
	s.serial++
	m.TS = fmt.Sprintf("%d.%06d", now.Unix(), s.serial)
	s.last[channel] = now
	s.messages = append(s.messages, m)
	return answer{"channel": channel, "ts": m.TS, "message": m}, nil
}

func (s *Server) find(channel, ts string) *Message {
	for _, m := range s.messages {
		if m.Channel == channel && m.TS == ts {
			return m
		}
	}
	return nil
}

func (s *Server) update(channel string, r *http.Request) (answer, *apiError) {
	m := s.find(channel, r.Form.Get("ts"))
	if m == nil {
		return nil, &apiError{code: "message_not_found"}
	}
	changed := *m
	changed.Text = r.Form.Get("text")
	if err := changed.fill(r); err != nil {
		return nil, err
	}
	changed.Edits++
	*m = changed
	return answer{"channel": channel, "ts": m.TS, "text": m.Text}, nil
}

// fill checks and takes what posts and updates have.
func (m *Message) fill(r *http.Request) *apiError {
	if m.Text == "" {
		return &apiError{code: "no_text"}
	}
	if len([]rune(m.Text)) > 4000 {
		return &apiError{code: "msg_too_long"}
	}
	if parse := r.Form.Get("parse"); parse == "full" || r.Form.Get("link_names") == "1" || r.Form.Get("link_names") == "true" {
		return &apiError{code: "invalid_arguments", why: "text of others would be looked through for names and links"}
	}
	if blocks := r.Form.Get("blocks"); blocks != "" {
		if err := CheckBlocks([]byte(blocks)); err != nil {
			return &apiError{code: "invalid_blocks", why: err.Error()}
		}
		if m.Blocks = json.RawMessage(blocks); blocks == "[]" {
			m.Blocks = nil
		}
	}
	if text := r.Form.Get("metadata"); text != "" {
		m.Metadata = Metadata{}
		if err := json.Unmarshal([]byte(text), &m.Metadata); err != nil || m.Metadata.EventType == "" {
			return &apiError{code: "invalid_metadata_format"}
		}
		for _, value := range m.Metadata.EventPayload {
			switch value.(type) {
			case string, float64, bool:
			default:
				return &apiError{code: "invalid_metadata_format", why: "a value that is nested"}
			}
		}
	}
	return nil
}

func (s *Server) history(channel string, r *http.Request) (answer, *apiError) {
	oldest, _ := strconv.ParseFloat(r.Form.Get("oldest"), 64)
	var list []*Message
	for _, m := range slices.Backward(s.messages) { // the newest first
		if m.Channel == channel && (m.ThreadTS == "" || m.Broadcast) && float64(m.Posted.Unix()) >= oldest {
			list = append(list, m)
		}
	}
	return page(list, r)
}

func (s *Server) replies(channel string, r *http.Request) (answer, *apiError) {
	parent := s.find(channel, r.Form.Get("ts"))
	if parent == nil {
		return nil, &apiError{code: "thread_not_found"}
	}
	list := []*Message{parent}
	for _, m := range s.messages {
		if m.Channel == channel && m.ThreadTS == parent.TS {
			list = append(list, m)
		}
	}
	return page(list, r)
}

// page returns the part of a list that a cursor names, with metadata only if they are asked for.
func page(list []*Message, r *http.Request) (answer, *apiError) {
	limit, err := strconv.Atoi(r.Form.Get("limit"))
	if err != nil || limit < 1 || limit > 999 {
		return nil, &apiError{code: "invalid_limit"}
	}
	start := 0
	if cursor := r.Form.Get("cursor"); cursor != "" {
		if start, err = strconv.Atoi(cursor); err != nil || start > len(list) {
			return nil, &apiError{code: "invalid_cursor"}
		}
	}
	end := min(len(list), start+limit)
	var messages []Message
	for _, m := range list[start:end] {
		shown := *m
		if r.Form.Get("include_all_metadata") != "1" {
			shown.Metadata = Metadata{}
		}
		messages = append(messages, shown)
	}
	next := ""
	if end < len(list) {
		next = strconv.Itoa(end)
	}
	return answer{"messages": messages, "has_more": next != "", "response_metadata": answer{"next_cursor": next}}, nil
}
