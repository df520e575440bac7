// Package witness asks witnesses for cosignatures (C2SP tlog-witness). A witness keeps the latest checkpoint that it has seen of each log and signs another
// one only if that continues it: whoever asks for its signature knows that everybody was shown one history.
package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// askWithin bounds one request. Witnesses behind a bastion take a second or two.
	askWithin = 10 * time.Second
	// maxAnswer bounds what is read of an answer: a few signature lines of about 150 bytes.
	maxAnswer = 16 << 10
	// maxHeader bounds the answer's header.
	maxHeader = 16 << 10
	// sizeType is the media type of a size.
	sizeType = "text/x.tlog.size"
)

// SizeError says that the witness's latest checkpoint of the log has another size than it was told. The proof must begin there.
type SizeError struct {
	Size uint64 // not beyond that of the checkpoint it was shown
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("the witness's checkpoint of the log has %d entries", e.Size)
}

// AheadError says that the witness claims to have cosigned more of the log than it is shown: if nobody else has a later checkpoint, the log, or what
// remembers its checkpoint, has gone back. The witness shows no proof of it.
type AheadError struct {
	Size  uint64 // of the witness's checkpoint
	Shown uint64
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("the witness has cosigned %d entries of the log, more than the %d that it is shown", e.Size, e.Shown)
}

// ErrForked: the witness has cosigned entries of the log that the checkpoint does not continue, by its own account.
var ErrForked = errors.New("the witness has cosigned another history of the log")

// ErrAnswer: the witness answered what no witness may, such as a cosignature that is not its own.
var ErrAnswer = errors.New("the witness's answer is not acceptable")

// RefusedError says that the witness does not want the checkpoint, for a reason that says nothing of the log's history.
type RefusedError struct {
	Status int
}

func (e *RefusedError) Error() string {
	switch e.Status {
	case http.StatusForbidden:
		return "the witness knows none of the keys that sign the log (status 403)"
	case http.StatusNotFound:
		return "the witness does not know the log (status 404)"
	}
	return fmt.Sprintf("the witness refuses: status %d", e.Status)
}

// Client asks one witness. It is safe for concurrent use, but a witness that is asked for one log at several places at a time answers most of them with a
// SizeError.
type Client struct {
	url      string
	verifier *torchwood.CosignatureVerifier
	http     *http.Client
}

// Parse returns a client for a witness written as its URL, a space and its public key.
func Parse(text string) (*Client, error) {
	prefix, vkey, ok := strings.Cut(text, " ")
	if !ok {
		return nil, errors.New("witness: not a URL, a space and a public key")
	}
	return New(prefix, vkey)
}

// New returns a client for the witness below a URL (its submission prefix) whose public key is vkey.
func New(prefix, vkey string) (*Client, error) {
	at, err := url.Parse(prefix)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, errors.New("witness: not a URL such as https://witness.example")
	}
	verifier, err := torchwood.NewCosignatureVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("witness %s: not a public key of a witness (<name>+<8 hex digits>+<base64> of cosignature/v1)", at.Host)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes, transport.DisableCompression, transport.MaxIdleConnsPerHost = maxHeader, true, 1
	return &Client{
		url: strings.TrimSuffix(prefix, "/") + "/add-checkpoint", verifier: verifier,
		http: &http.Client{
			Transport: transport, Timeout: askWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Name is the name in the witness's key.
func (c *Client) Name() string { return c.verifier.Name() }

// Key tells the witness's key from others of its name.
func (c *Client) Key() string { return fmt.Sprintf("%s+%08x", c.verifier.Name(), c.verifier.KeyHash()) }

// Close closes connections that wait for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Add shows the witness a signed checkpoint and the proof that it continues the one of oldSize entries, and returns the checkpoint with the witness's
// cosignature below its signatures. Errors: *SizeError (try again with that size), *AheadError, ErrForked, *RefusedError, ErrAnswer, or what
// the network says, after which the witness may have cosigned all the same. None quotes the answer.
func (c *Client) Add(ctx context.Context, oldSize uint64, proof tlog.TreeProof, signed []byte) (cosigned []byte, err error) {
	point, err := chain.ReadCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	if oldSize > point.Size || len(proof) > chain.MaxConsistencyHashes {
		return nil, fmt.Errorf("no proof leads from %d entries to %d", oldSize, point.Size)
	}
	status, kind, answer, err := c.post(ctx, request(oldSize, proof, signed))
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
		return c.cosign(signed, answer)
	case http.StatusConflict:
		return nil, conflict(oldSize, point.Size, kind, answer)
	case http.StatusUnprocessableEntity:
		return nil, ErrForked
	}
	return nil, &RefusedError{Status: status}
}

func request(oldSize uint64, proof tlog.TreeProof, signed []byte) []byte {
	body := append(strconv.AppendUint([]byte("old "), oldSize, 10), '\n')
	for _, hash := range proof {
		body = append(append(body, hash.String()...), '\n')
	}
	return append(append(body, '\n'), signed...)
}

func (c *Client) post(ctx context.Context, body []byte) (status int, kind string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("ask the witness: %w", err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return 0, "", nil, fmt.Errorf("read the witness's answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return 0, "", nil, fmt.Errorf("%w: longer than %d bytes", ErrAnswer, maxAnswer)
	}
	kind, _, err = mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		kind = "" // which matters for sizes only
	}
	return response.StatusCode, kind, answer, nil
}

// conflict reads a 409.
func conflict(oldSize, shown uint64, kind string, answer []byte) error {
	if kind != sizeType {
		if oldSize == shown {
			return ErrForked // the same size with another root: no size need stand here
		}
		return fmt.Errorf("%w: a conflict without a size", ErrAnswer)
	}
	digits := strings.TrimSuffix(string(answer), "\n")
	size, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != digits {
		return fmt.Errorf("%w: a conflict with something that is no size", ErrAnswer)
	}
	switch {
	case size > shown:
		return &AheadError{Size: size, Shown: shown}
	case size != oldSize:
		return &SizeError{Size: size}
	case oldSize == shown:
		return ErrForked
	}
	return fmt.Errorf("%w: a conflict with the size that it was told", ErrAnswer)
}

// cosign puts the witness's cosignature below a checkpoint, if it is one. Lines of other keys are not taken over.
func (c *Client) cosign(signed, answer []byte) ([]byte, error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		return nil, errors.New("checkpoint without signatures")
	}
	n, err := note.Open(append(append(bytes.Clone(text), "\n\n"...), answer...), note.VerifierList(c.verifier))
	// An answer with an empty line in it would move the border between what is signed and the signatures.
	if err != nil || len(n.Sigs) != 1 || n.Text != string(text)+"\n" {
		return nil, fmt.Errorf("%w: no valid cosignature of its key", ErrAnswer)
	}
	line := "— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n"
	return append(bytes.Clone(signed), line...), nil
}
