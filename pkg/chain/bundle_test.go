package chain

import "testing"

func TestParseTilePath(t *testing.T) {
	for path, want := range map[string]struct {
		place   TilePlace
		entries bool
	}{
		"tile/0/000":                    {TilePlace{0, 0, 256}, false},
		"tile/0/000.p/17":               {TilePlace{0, 0, 17}, false},
		"tile/1/x001/234":               {TilePlace{1, 1234, 256}, false},
		"tile/7/000.p/1":                {TilePlace{7, 0, 1}, false},
		"tile/entries/x001/x234/067":    {TilePlace{0, 1234067, 256}, true},
		"tile/entries/x001/234.p/255":   {TilePlace{0, 1234, 255}, true},
		"tile/entries/000.p/1":          {TilePlace{0, 0, 1}, true},
		"tile/0/x999/x999/x999/999.p/3": {TilePlace{0, 999999999999, 3}, false},
	} {
		place, entries, err := ParseTilePath(path)
		if err != nil || place != want.place || entries != want.entries {
			t.Errorf("%s: %+v %v %v", path, place, entries, err)
		}
		back := place.Path()
		if entries {
			back = place.EntriesPath()
		}
		if back != path {
			t.Errorf("%s is written as %s", path, back)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/0/x000/000", "tile/8/000", "tile/64/000", "tile/-1/000", "tile/+1/000", "tile/00/000",
		"tile/data/000", "tile/0/000.p", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/../000", "tile/entries/-01", "tile/8/0/000", "/tile/0/000",
		"tile/0/000/", "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/entries/000.p/300",
	} {
		if place, _, err := ParseTilePath(path); err == nil {
			t.Errorf("%q is read as %+v", path, place)
		}
	}
}

func TestCutLogPath(t *testing.T) {
	for path, want := range map[string][2]string{
		"agent.events/3/checkpoint":      {"agent.events/3", "checkpoint"},
		"agent.events/3.1/tile/0/000":    {"agent.events/3.1", "tile/0/000"},
		"audit.system/0/tile/entries/00": {"audit.system/0", "tile/entries/00"},
	} {
		log, what, err := CutLogPath(path)
		if err != nil || log != want[0] || what != want[1] {
			t.Errorf("%s: %s %s %v", path, log, what, err)
		}
	}
	for _, path := range []string{"", "a", "a/b", "a/b/c", "agent.events/3", "agent.events//checkpoint", "../3/checkpoint", "agent.events/03/checkpoint", "/agent.events/3/checkpoint"} {
		if log, what, err := CutLogPath(path); err == nil {
			t.Errorf("%q is read as %s and %s", path, log, what)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("tile/0/x001/234.p/17")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		place, entries, err := ParseTilePath(path)
		if err != nil {
			return
		}
		back := place.Path()
		if entries {
			back = place.EntriesPath()
		}
		if back != path {
			t.Errorf("%q is also written as %q", path, back)
		}
		if place.Within(0) {
			t.Errorf("%q is in an empty tree", path)
		}
	})
}
