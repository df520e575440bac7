package dirlock

import (
	"errors"
	"os"
	"strconv"
	"testing"
)

func TestTake(t *testing.T) {
	dir := t.TempDir() + "/new/dir"
	first, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	var held *Held
	if _, err := Take(dir); !errors.As(err, &held) {
		t.Fatalf("second Take: %v, want *Held", err)
	}
	if held.PID != strconv.Itoa(os.Getpid()) || held.Dir != dir {
		t.Errorf("Held = %+v", held)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Take(dir)
	if err != nil {
		t.Fatalf("Take after Release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}
