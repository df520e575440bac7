package clickhttp

import (
	"bytes"
	"testing"
)

func TestValuesScanner(t *testing.T) {
	f := func(data string, more bool) {
		t.Helper()
		for size := 1; size <= len(data)+1; size++ {
			var v valuesScanner
			for rest := data; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				v.scan([]byte(rest[:min(size, len(rest))]))
			}
			if v.more != more {
				t.Errorf("%q in pieces of %d: more = %v", data, size, v.more)
			}
		}
	}
	f("(1), (2)", false)
	f("(1);", false)
	f(" (1) ; \n\t ", false)
	f("(1); -- the end; really\n", false)
	f("(1); /* ; it's */ ", false)
	f("('a;b'), ('it''s; x'), ('\\'; y')", false)
	f("(1 - 2), (4 / 2); ", false)
	f("(1); SELECT 2", true)
	f("(1);\n\nDROP TABLE t", true)
	f("('\\\\'); x", true)
	f("(1); 'x'", true)
	f("/* ; */ (1);(2)", true)
}

// FuzzValuesScanner: what is found does not depend on how the data is cut, and there is no second statement without a semicolon.
func FuzzValuesScanner(f *testing.F) {
	f.Add([]byte("('a;b'), ('it''s; x'); -- the end"), 3)
	f.Add([]byte("(1); SELECT 2"), 4)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, pieces, bytewise valuesScanner
		whole.scan(data)
		cut = min(max(cut, 0), len(data))
		if pieces.scan(data[:cut]) {
			pieces.scan(data[cut:])
		}
		for i := range data {
			if !bytewise.scan(data[i : i+1]) {
				break
			}
		}
		if whole.more != pieces.more || whole.more != bytewise.more {
			t.Errorf("%q: more is %v, %v cut at %d, %v byte by byte", data, whole.more, pieces.more, cut, bytewise.more)
		}
		if whole.more && bytes.IndexByte(data, ';') < 0 {
			t.Errorf("%q: a second statement without a semicolon", data)
		}
	})
}
