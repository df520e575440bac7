// Package archive writes what a person gets who asks what is kept about them: a ZIP with their events for people and for programs, proofs that these stand in the
// logs, and what it takes to check them without us.
//
// It is written as a stream, however many events there are. What cannot be written yet waits in a file that has no name and is encrypted under a key that only this
// process has.
package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/flate"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Deps are where events, people and keys are.
type Deps struct {
	Store *store.Store
	Vault *vault.Vault
	Keys  func() (*logkeys.Folder, error) // of checkpoints
}

// Order says whose archive is to be written.
type Order struct {
	Request  [16]byte
	Subject  gdpr.SubjectID
	Who      vault.Identity
	At       time.Time
	Version  string                                                // of our program
	Scratch  string                                                // folder for what waits
	Progress func(ctx context.Context, events, total uint64) error // called at the start and with each part; its error ends the writing
}

// Summary is what an archive has.
type Summary struct {
	Events uint64
	Files  int
}

const (
	// coverWithin is how long a checkpoint is waited for that covers the person's latest event. It is made within a second or two.
	coverWithin = 30 * time.Second
	coverPoll   = 50 * time.Millisecond
)

// Write writes the archive to out. After an error what was written is worth nothing. prove.ErrNotCovered: nobody signs checkpoints; a *chain.Fault: an entry or a
// tile is not what is signed.
func Write(ctx context.Context, deps Deps, order Order, out io.Writer) (Summary, error) {
	a := &archive{deps: deps, order: order, zip: zip.NewWriter(out)}
	a.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, compression) })
	a.manifest = Manifest{
		Format: Format, Request: gdpr.SubjectID(order.Request).String(), Created: order.At.UTC().Format(time.RFC3339), Deployment: deps.Vault.Deployment(),
		Tool: "agentaudit " + order.Version, Subject: order.Subject.String(), Contents: map[string]uint64{},
	}
	if err := a.write(ctx); err != nil {
		return Summary{}, fmt.Errorf("write an archive: %w", err)
	}
	return Summary{Events: a.manifest.Events, Files: len(a.manifest.Files)}, nil
}

// compression is low: half of it is hashes, and the work is done while others wait for the processor.
const compression = 2

type archive struct {
	deps     Deps
	order    Order
	zip      *zip.Writer
	manifest Manifest
	logs     []personLog
	total    uint64

	line bytes.Buffer
	row  []byte
}

// personLog is a log with events of the person.
type personLog struct {
	store.PersonLog
	prover *prove.LogProver
	proofs int64 // bytes
}

func (a *archive) write(ctx context.Context) error {
	keys, err := a.deps.Keys()
	if err != nil {
		return err
	}
	if err := a.findLogs(ctx, keys); err != nil {
		return err
	}
	if err := a.order.Progress(ctx, 0, a.total); err != nil {
		return err
	}
	var vkeys bytes.Buffer
	for _, vkey := range keys.VKeys() {
		vkeys.WriteString(vkey + "\n")
	}
	consents, err := a.consents(ctx)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"README.txt", a.readme(keys.VKeys())}, {"keys.txt", vkeys.Bytes()}, {"consents.json", consents}} {
		if err := a.put(f.name, bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	tables, err := newSpill(a.order.Scratch)
	if err != nil {
		return err
	}
	defer tables.close()
	proofs, err := newSpill(a.order.Scratch)
	if err != nil {
		return err
	}
	defer proofs.close()
	if err := a.writeEvents(ctx, tables, proofs); err != nil {
		return err
	}
	if err := a.writeRest(tables, proofs); err != nil {
		return err
	}
	return a.finish()
}

// consents returns consents.json: what the person has said about each purpose.
func (a *archive) consents(ctx context.Context) ([]byte, error) {
	list, err := a.deps.Vault.Consents(ctx, a.order.Subject)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []gdpr.Consent{}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	return append(text, '\n'), err
}

// findLogs finds out where the person's events are, and waits until all that are there now can be proved. Later ones are left for the next time.
func (a *archive) findLogs(ctx context.Context, keys *logkeys.Folder) error {
	known, err := logkeys.Verifiers(keys.VKeys())
	if err != nil {
		return err
	}
	logs, err := a.deps.Store.PersonLogs(ctx, a.order.Subject)
	if err != nil {
		return err
	}
	for _, log := range logs {
		topic, _, _, err := chain.ParseLog(log.Log)
		if err != nil || topic == "." || topic == ".." { // it becomes the name of a file on somebody's machine
			return errors.New("a log has a name that no log has")
		}
		prover, err := a.awaitCovered(ctx, log, known)
		if err != nil {
			return err
		}
		a.logs, a.total = append(a.logs, personLog{PersonLog: log, prover: prover}), a.total+log.Entries
	}
	return nil
}

func (a *archive) awaitCovered(ctx context.Context, log store.PersonLog, known note.Verifiers) (*prove.LogProver, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, coverWithin, fmt.Errorf("%s: %w", log.Log, prove.ErrNotCovered))
	defer cancel()
	from := prove.Prover{Store: a.deps.Store, Vault: a.deps.Vault}
	tick := time.NewTicker(coverPoll)
	defer tick.Stop()
	for {
		prover, err := from.Log(ctx, log.Log)
		if err != nil {
			return nil, err
		}
		if prover.Checkpoint.Size > log.Last {
			point, _, err := chain.OpenCheckpoint(prover.Signed, known)
			if err == nil && (point.Deployment != a.deps.Vault.Deployment() || point.Log != log.Log) {
				err = errors.New("it is another log's")
			}
			if err != nil {
				return nil, fmt.Errorf("the checkpoint of %s is not good: %w", log.Log, err)
			}
			return prover, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// writeEvents writes the events as lines of JSON, and as rows and proofs to where these wait.
func (a *archive) writeEvents(ctx context.Context, tables, proofs *spill) error {
	return a.add("events.jsonl", func(lines io.Writer) error {
		if _, err := tables.Write(appendHeader(nil)); err != nil {
			return err
		}
		for i := range a.logs {
			before := proofs.size
			if err := a.writeLog(ctx, &a.logs[i], lines, tables, proofs); err != nil {
				return err
			}
			a.logs[i].proofs = proofs.size - before
		}
		return nil
	})
}

func (a *archive) writeLog(ctx context.Context, log *personLog, lines, tables, proofs io.Writer) error {
	in := LogInfo{Log: log.Log, CheckpointSize: log.prover.Checkpoint.Size}
	for from := uint64(0); ; {
		page, err := a.deps.Store.PersonEntries(ctx, log.Log, a.order.Subject, from, log.Last+1)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			a.manifest.Logs = append(a.manifest.Logs, in)
			return nil
		}
		if err := a.writePage(ctx, log.prover, page, lines, tables, proofs); err != nil {
			return err
		}
		in.Events += uint64(len(page))
		from = page[len(page)-1].Seq + 1
		if err := a.order.Progress(ctx, a.manifest.Events, a.total); err != nil {
			return err
		}
	}
}

func (a *archive) writePage(ctx context.Context, prover *prove.LogProver, page []store.Found, lines, tables, proofs io.Writer) error {
	seqs := make([]uint64, len(page))
	for i := range page {
		seqs[i] = page[i].Seq
	}
	if err := prover.Prepare(ctx, seqs); err != nil {
		return err
	}
	events, err := reveal.ForPerson(ctx, reveal.Deps{Store: a.deps.Store, Vault: a.deps.Vault}, reveal.Person{Subject: a.order.Subject, User: a.order.Who.User}, page)
	if err != nil {
		return err
	}
	for i := range events {
		proof, err := prover.Entry(ctx, page[i].Seq, page[i].Entry)
		if err != nil {
			return err
		}
		if _, err := proofs.Write(proof); err != nil {
			return err
		}
		if err := a.writeEvent(&events[i], lines, tables); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) writeEvent(event *reveal.Event, lines, tables io.Writer) error {
	a.line.Reset()
	encoder := json.NewEncoder(&a.line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return err
	}
	if _, err := lines.Write(a.line.Bytes()); err != nil {
		return err
	}
	var err error
	if a.row, err = appendRow(a.row[:0], event); err != nil {
		return err
	}
	if _, err := tables.Write(a.row); err != nil {
		return err
	}
	m := &a.manifest
	m.Events++
	if event.Subject == m.Subject {
		m.AsSubject++
	}
	if slices.Contains(event.DataSubjects, m.Subject) {
		m.AsDataSubject++
	}
	if event.ContentState != "" {
		m.Contents[event.ContentState]++
	}
	return nil
}

// writeRest writes what has waited, and the checkpoints.
func (a *archive) writeRest(tables, proofs *spill) error {
	rows, err := tables.read()
	if err != nil {
		return err
	}
	if err := a.put("events.csv", rows); err != nil {
		return err
	}
	all, err := proofs.read()
	if err != nil {
		return err
	}
	for i := range a.logs {
		log := &a.logs[i]
		if err := a.put(proofsName(log.Log), io.LimitReader(all, log.proofs)); err != nil {
			return err
		}
		if err := a.put("checkpoints/"+log.Log, bytes.NewReader(log.prover.Signed)); err != nil {
			return err
		}
	}
	return nil
}

func proofsName(log string) string { return "proofs/" + log + ".tlog-proof" }

// finish writes the list of everything, and the ZIP's own.
func (a *archive) finish() error {
	text, err := json.MarshalIndent(&a.manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := a.put("manifest.json", bytes.NewReader(append(text, '\n'))); err != nil {
		return err
	}
	return a.zip.Close()
}

func (a *archive) put(name string, content io.Reader) error {
	return a.add(name, func(w io.Writer) error {
		_, err := io.Copy(w, content)
		return err
	})
}

// add writes a file and notes it in the manifest.
func (a *archive) add(name string, write func(io.Writer) error) error {
	file, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.order.At.UTC()})
	if err != nil {
		return err
	}
	w := &measured{to: file, sum: sha256.New()}
	if err := write(w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.manifest.Files = append(a.manifest.Files, FileInfo{Name: name, Bytes: w.bytes, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	return nil
}

// measured counts and hashes what is written.
type measured struct {
	to    io.Writer
	sum   hash.Hash
	bytes int64
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.to.Write(p)
	m.bytes += int64(n)
	m.sum.Write(p[:n])
	return n, err
}
