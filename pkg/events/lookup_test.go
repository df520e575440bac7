package events

import "testing"

func TestLookup(t *testing.T) {
	for f := FieldRecord + 1; f < NumFields; f++ {
		name, _ := packName([]byte(f.Name()))
		if got := knownNames.lookup(f.Group(), name); got != f {
			t.Errorf("%s is found as %s", f, got)
		}
		if got := knownNames.lookup(FieldContentInput, name); got != FieldRecord {
			t.Errorf("%s is found in a group that is none", f.Name())
		}
		want := f.Name()
		if f.Group() != FieldRecord {
			want = f.Group().Name() + "." + f.Name()
		}
		if f.String() != want {
			t.Errorf("path %s, want %s", f, want)
		}
	}
	for _, name := range []string{"", "x", "user_id2", "USER_ID", "schem", "agent.id", "user_id\x00", "conversation_idx"} {
		packed, ok := packName([]byte(name))
		if ok && knownNames.lookup(FieldRecord, packed) != FieldRecord {
			t.Errorf("%q is known", name)
		}
	}
}
