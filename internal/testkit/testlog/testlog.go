// Package testlog writes logs for tests without Kafka and ingest, as ingest would: entry by entry linked, in fenced inserts.
package testlog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Log writes a log as ingest does, with epochs of its choice.
type Log struct {
	t          testing.TB
	deployment string
	head       chain.Head
	writer     *store.Writer
	block      *store.Block
}

// Open returns a log that has no entry yet.
func Open(t testing.TB, in *store.Store, deployment, name string) *Log {
	t.Helper()
	writer, err := in.OpenWriter(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	return &Log{t: t, deployment: deployment, head: chain.EmptyHead(name), writer: writer, block: store.NewBlock()}
}

// Head returns the head that the entries so far make.
func (l *Log) Head() chain.Head { return l.head }

// Epoch announces the next epoch, and opens the log if it is the first.
func (l *Log) Epoch(next uint32) {
	l.t.Helper()
	control := chain.Control{Op: chain.OpEpoch, NextEpoch: next}
	if l.head.Size == 0 {
		topic, partition, _, err := chain.ParseLog(l.head.Log)
		if err != nil {
			l.t.Fatal(err)
		}
		control = chain.Control{Op: chain.OpOpen, NextEpoch: next, Deployment: l.deployment, Topic: topic, Partition: partition}
	}
	l.block.Reset()
	token := l.head.Token(0)
	l.append(&store.Row{Header: &chain.Header{Kind: chain.KindControl, Source: chain.Source{Offset: chain.NoOffset, Next: l.head.Next}}}, chain.AppendControl(nil, &control))
	l.insert(token)
}

// Add appends n rejected records, with contents, in one insert.
func (l *Log) Add(n int) {
	l.t.Helper()
	l.block.Reset()
	token := l.head.Token(0)
	for range n {
		ciphertext := make([]byte, 40)
		rand.Read(ciphertext)
		about := gdpr.Sealed{Algorithm: gdpr.AlgorithmPlain, Keys: []gdpr.KeyID{{1}}, SHA256: sha256.Sum256(ciphertext)}
		row := store.Row{
			Header:     &chain.Header{Kind: chain.KindRejected, Source: chain.Source{Offset: l.head.Next, Next: l.head.Next + 1}},
			Ciphertext: ciphertext, Algorithm: about.Algorithm, Keys: about.Keys,
		}
		body := append(chain.AppendRejected(nil, &chain.Rejected{Field: "record", Reason: "not JSON", Bytes: 40}), `,"content":`...)
		l.append(&row, gdpr.AppendSealed(body, &about))
	}
	l.insert(token)
}

func (l *Log) append(row *store.Row, body []byte) {
	l.t.Helper()
	h := row.Header
	h.Log, h.Seq, h.Prev, h.Epoch, h.SealedMicros = l.head.Log, l.head.Size, l.head.Leaf, l.head.NextEpoch, time.Now().UnixMicro()
	row.Entry = chain.AppendEntry(nil, h, body)
	head, err := chain.HeadOf(row.Entry)
	if err != nil {
		l.t.Fatal(err)
	}
	row.Leaf = head.Leaf
	if err := l.block.Append(row); err != nil {
		l.t.Fatal(err)
	}
	l.head = head
}

func (l *Log) insert(token string) {
	l.t.Helper()
	if err := l.writer.Insert(context.Background(), token, l.block); err != nil {
		l.t.Fatal(err)
	}
}
