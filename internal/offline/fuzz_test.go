package offline

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// FuzzCheck: a folder in which one file was replaced by any bytes, or a piece of it. The log is either good, with the entries that it had, or it is not.
func FuzzCheck(f *testing.F) {
	const entries = 300
	log := newFixture(f, entries)
	paths := slices.Sorted(maps.Keys(log.files))
	want, err := Check(f.Context(), log.files, theLog, Options{Keys: log.keys})
	if err != nil || want.FirstBad != nil {
		f.Fatal(want, err)
	}
	for i, path := range paths {
		content := log.files[path]
		f.Add(uint8(i), uint16(0), uint16(len(content)), content)
		f.Add(uint8(i), uint16(len(content)/2), uint16(1), []byte{0})
		f.Add(uint8(i), uint16(len(content)), uint16(0), []byte("x"))
	}
	f.Add(uint8(len(paths)), uint16(0), uint16(0), []byte("agentaudit/prune/v1\n")) // a record of what was pruned
	f.Fuzz(func(t *testing.T, which uint8, at, n uint16, piece []byte) {
		changed := maps.Clone(log.files)
		path := append(slices.Clone(paths), "pruned")[int(which)%(len(paths)+1)]
		old := changed[path]
		from := min(int(at), len(old))
		changed[path] = slices.Concat(old[:from], piece, old[min(from+int(n), len(old)):])
		got, err := Check(t.Context(), changed, theLog, Options{Keys: log.keys})
		switch {
		case err != nil:
			t.Errorf("%s: %v", path, err)
		case got.FirstBad == nil && (got.Size != entries || got.Root != want.Root || got.Head != want.Head):
			t.Errorf("%s: another log is good: %+v", path, got)
		case got.FirstBad == nil && !bytes.Equal(changed[path], old) && path != "checkpoint":
			t.Errorf("%s was changed, and all is good", path)
		}
	})
}
