package store

import (
	"context"
	"testing"
)

func TestInsertAndReadHead(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/3")
	w, err := s.OpenWriter(ctx, l.head.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	head, err := w.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBlock()
	fill(t, b, l.open(202611))
	if err := w.Insert(ctx, head.Token(0), b); err != nil {
		t.Fatal(err)
	}
	if head, err = w.Head(ctx); err != nil || head != l.head {
		t.Fatalf("head %+v, %v; want %+v", head, err, l.head)
	}
	fill(t, b, l.samples(1000)...)
	if err := w.Insert(ctx, head.Token(0), b); err != nil {
		t.Fatal(err)
	}
	if head, err = w.Head(ctx); err != nil || head != l.head {
		t.Fatalf("head %+v, %v; want %+v", head, err, l.head)
	}
}
