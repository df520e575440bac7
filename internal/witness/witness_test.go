package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSigner(t *testing.T, name string) *torchwood.CosignatureSigner {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, secret)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// signed is a checkpoint of agent.events/0 signed by whoever is given.
func signed(t *testing.T, size uint64, signers ...note.Signer) []byte {
	t.Helper()
	point := chain.Checkpoint{Deployment: "test", Log: "agent.events/0", Size: size, Root: chain.Hash{byte(size)}}
	text, err := point.Sign(signers...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newLogKey(t *testing.T) note.Signer {
	t.Helper()
	secret, _, err := note.GenerateKey(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// lines are the signatures of a note.
func lines(note []byte) string {
	_, signatures, _ := strings.Cut(string(note), "\n\n")
	return signatures
}

// answering is a witness that says the same whatever it is asked.
func answering(t *testing.T, vkey string, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/prefix/", vkey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequest(t *testing.T) {
	key, w := newLogKey(t), newSigner(t, "witness.example/w1")
	point := signed(t, 12, key)
	proof := tlog.TreeProof{tlog.Hash{1}, tlog.Hash{2}}
	var got string
	c := answering(t, w.Verifier().String(), func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/prefix/add-checkpoint" {
			http.Error(rw, "wrong", http.StatusBadRequest)
			return
		}
		got = string(body)
		_, _ = io.WriteString(rw, lines(signed(t, 12, newSigner(t, "another.example"), w)))
	})
	cosigned, err := c.Add(t.Context(), 7, proof, point)
	if err != nil {
		t.Fatal(err)
	}
	want := "old 7\nAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n" + string(point)
	if got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	// What the log signed, and the one cosignature that was asked for.
	if n, err := note.Open(cosigned, note.VerifierList(w.Verifier())); err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 ||
		!strings.HasPrefix(string(cosigned), string(point)) {
		t.Errorf("cosigned %q, %v", cosigned, err)
	}
	if c.Name() != "witness.example/w1" || c.Key() != fmt.Sprintf("witness.example/w1+%08x", w.KeyHash()) {
		t.Errorf("called %s, %s", c.Name(), c.Key())
	}
}

// Everything that a witness answers is a claim.
func TestAnswers(t *testing.T) {
	key, w := newLogKey(t), newSigner(t, "witness.example/w1")
	stranger := newSigner(t, "witness.example/w1")
	point := signed(t, 12, key)
	good := lines(signed(t, 12, w))
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	size := func(want uint64) func(error) bool {
		return func(err error) bool {
			var other *SizeError
			return errors.As(err, &other) && other.Size == want
		}
	}
	ahead := func(want uint64) func(error) bool {
		return func(err error) bool {
			var other *AheadError
			return errors.As(err, &other) && other.Size == want && other.Shown == 12
		}
	}
	refused := func(want int) func(error) bool {
		return func(err error) bool {
			var other *RefusedError
			return errors.As(err, &other) && other.Status == want
		}
	}
	for _, test := range []struct {
		name   string
		old    uint64
		status int
		kind   string
		body   string
		want   func(error) bool // nil: no error
	}{
		{"cosigned", 7, 200, "", good, nil},
		{"cosigned twice", 7, 200, "", good + good, nil},
		{"cosigned by others too", 7, 200, "", lines(signed(t, 12, newSigner(t, "x"))) + good, nil},
		{"nothing", 7, 200, "", "", is(ErrAnswer)},
		{"no signature line", 7, 200, "", "hello\n", is(ErrAnswer)},
		{"cut", 7, 200, "", good[:len(good)-5], is(ErrAnswer)},
		{"another key of that name", 7, 200, "", lines(signed(t, 12, stranger)), is(ErrAnswer)},
		{"of another checkpoint", 7, 200, "", lines(signed(t, 13, w)), is(ErrAnswer)},
		{"an empty line and another checkpoint's", 7, 200, "", "\n\n" + good, is(ErrAnswer)},
		{"a whole other note", 7, 200, "", "\n\n" + string(signed(t, 13, w)), is(ErrAnswer)},
		{"control characters", 7, 200, "", good + "— \x1b[2J\n", is(ErrAnswer)},
		{"very long", 7, 200, "", strings.Repeat(good, 1000), is(ErrAnswer)},
		{"smaller", 7, 409, "text/x.tlog.size", "3\n", size(3)},
		{"none yet", 7, 409, "text/x.tlog.size", "0\n", size(0)},
		{"larger than told", 7, 409, "text/x.tlog.size; charset=utf-8", "12\n", size(12)},
		{"ahead", 7, 409, "text/x.tlog.size", "13\n", ahead(13)},
		{"far ahead", 12, 409, "text/x.tlog.size", "9223372036854775807\n", ahead(1<<63 - 1)},
		{"forked at the same size", 12, 409, "text/x.tlog.size", "12\n", is(ErrForked)},
		{"forked at the same size, without one", 12, 409, "text/plain", "", is(ErrForked)},
		{"the size it was told", 7, 409, "text/x.tlog.size", "7\n", is(ErrAnswer)},
		{"no size", 7, 409, "text/plain", "13\n", is(ErrAnswer)},
		{"leading zero", 7, 409, "text/x.tlog.size", "013\n", is(ErrAnswer)},
		{"negative", 7, 409, "text/x.tlog.size", "-1\n", is(ErrAnswer)},
		{"beyond 2^63", 7, 409, "text/x.tlog.size", "9223372036854775808\n", is(ErrAnswer)},
		{"no number", 7, 409, "text/x.tlog.size", "many\n", is(ErrAnswer)},
		{"forked", 7, 422, "", "", is(ErrForked)},
		{"unknown log", 7, 404, "", "", refused(404)},
		{"unknown key", 7, 403, "", "", refused(403)},
		{"unwell", 7, 500, "", "", refused(500)},
		{"elsewhere", 7, 307, "", "", refused(307)},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			c := answering(t, w.Verifier().String(), func(rw http.ResponseWriter, _ *http.Request) {
				asked++
				if test.kind != "" {
					rw.Header().Set("Content-Type", test.kind)
				}
				rw.Header().Set("Location", "/prefix/add-checkpoint") // which is not followed
				rw.WriteHeader(test.status)
				_, _ = io.WriteString(rw, test.body)
			})
			cosigned, err := c.Add(t.Context(), test.old, nil, point)
			if test.want == nil {
				if err != nil || lines(cosigned) != lines(point)+good {
					t.Errorf("%q, %v", cosigned, err)
				}
			} else if !test.want(err) || cosigned != nil {
				t.Errorf("%q, %v", cosigned, err)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
			if err != nil && test.body != "" && len(test.body) > 3 && strings.Contains(err.Error(), test.body) {
				t.Errorf("the answer is quoted: %v", err)
			}
		})
	}
}

// A witness that does not answer, or not to the end, costs no more than the time that is left.
func TestSilence(t *testing.T) {
	w := newSigner(t, "witness.example/w1")
	point := signed(t, 12, newLogKey(t))
	for name, begin := range map[string]func(http.ResponseWriter){
		"no answer":   func(http.ResponseWriter) {},
		"a beginning": func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, "— "); rw.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			c := answering(t, w.Verifier().String(), func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the client goes
				begin(rw)
				close(asked)
				<-r.Context().Done()
			})
			go func() { <-asked; cancel() }() // ends with the request
			if _, err := c.Add(ctx, 0, nil, point); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(server.URL, w.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add(t.Context(), 0, nil, point); err == nil {
		t.Error("nobody answered and it was no error")
	}
}

func TestNewRefuses(t *testing.T) {
	good := newSigner(t, "witness.example/w1").Verifier().String()
	_, plain, err := note.GenerateKey(rand.Reader, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"", good}, {"witness.example", good}, {"ftp://witness.example", good}, {"https://", good}, {"https://w.example/?a=b", good}, {"http://w.example/%", good},
		{"https://u:hunter2@w.example", good}, {"https://w.example", ""}, {"https://w.example", plain}, {"https://w.example", good[:30]},
	} {
		if _, err := New(c[0], c[1]); err == nil {
			t.Errorf("accepted %q", c)
		}
	}
}

func TestNewest(t *testing.T) {
	key, a, b := newLogKey(t), newSigner(t, "a"), newSigner(t, "b")
	older, one, two := signed(t, 11, key, a, b), signed(t, 12, key, a), signed(t, 12, key, b)
	other := chain.Checkpoint{Deployment: "test", Log: "agent.events/0", Size: 12, Root: chain.Hash{99}}
	forked, err := other.Sign(key, b)
	if err != nil {
		t.Fatal(err)
	}
	both := string(one) + strings.TrimPrefix(lines(two), lines(signed(t, 12, key)))
	f := func(name, want string, given ...[]byte) {
		t.Helper()
		var list []vault.Cosigned
		for _, note := range given {
			list = append(list, vault.Cosigned{Note: string(note)})
		}
		if got := string(Newest(list)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("nothing", "")
	f("no checkpoint", "", []byte("hello"))
	f("one", string(one), one)
	f("the newer", string(one), older, one)
	f("the newer, first", string(one), one, older)
	f("joined", both, one, two, older)
	f("repeated", both, one, two, one, two)
	f("of two histories the first", string(one), one, forked)
}
