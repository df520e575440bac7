package clickhttp

import "testing"

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
