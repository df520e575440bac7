package clickhttp

import "testing"

func TestReadStatementInsert(t *testing.T) {
	f := func(text, head, format, data string) {
		t.Helper()
		st := readStatement([]byte(text))
		if !st.hasData || st.head != head || st.format != format || text[st.dataStart:] != data {
			t.Errorf("%q: hasData %v, head %q, format %q, data %q", text, st.hasData, st.head, st.format, text[min(st.dataStart, len(text)):])
		}
	}
	f("INSERT INTO t FORMAT Native\n\x01\x02", "INSERT INTO t", "Native", "\x01\x02")
	f("INSERT INTO t FORMAT Native", "INSERT INTO t", "Native", "")
	f("insert into t format Native \t\r\n\n\nx", "insert into t", "Native", "\n\nx")
	f("INSERT INTO t FORMAT CSV;\n1,2", "INSERT INTO t", "CSV", "1,2")
	f("INSERT INTO t VALUES (1), (2)", "INSERT INTO t", "Values", " (1), (2)")
	f("INSERT INTO t(a,b)VALUES(1,2)", "INSERT INTO t(a,b)", "Values", "(1,2)")
	f("INSERT INTO db.t (a, `b c`) VALUES ('; DROP TABLE t')", "INSERT INTO db.t (a, `b c`)", "Values", " ('; DROP TABLE t')")
	f("INSERT INTO `values` VALUES (1)", "INSERT INTO `values`", "Values", " (1)")
	f("INSERT INTO format FORMAT JSONEachRow {}", "INSERT INTO format", "JSONEachRow", "{}")
	f("INSERT INTO values VALUES (1)", "INSERT INTO values", "Values", " (1)")
	f("INSERT INTO db.format FORMAT CSV\n1", "INSERT INTO db.format", "CSV", "1")
	f("INSERT INTO TABLE t VALUES (1)", "INSERT INTO TABLE t", "Values", " (1)")
	f("INSERT INTO FUNCTION null('a Int') VALUES (1)", "INSERT INTO FUNCTION null('a Int')", "Values", " (1)")
	f("INSERT INTO t (values, format) FORMAT CSV\n1,2", "INSERT INTO t (values, format)", "CSV", "1,2")
	f("INSERT INTO t SETTINGS async_insert=0, format_csv_delimiter='|' FORMAT CSV\n1|2", "INSERT INTO t SETTINGS async_insert=0, format_csv_delimiter='|'", "CSV", "1|2")
	f("/* VALUES */ INSERT -- FORMAT CSV\n INTO t # VALUES\n VALUES (1)", "/* VALUES */ INSERT -- FORMAT CSV\n INTO t # VALUES", "Values", " (1)")
	f("INSERT INTO {t:Identifier} VALUES (1)", "INSERT INTO {t:Identifier}", "Values", " (1)")
	f("INSERT INTO t (a)", "INSERT INTO t (a)", "Values", "")
	f("INSERT INTO t\n", "INSERT INTO t", "Values", "")
	f("INSERT INTO t (a) VALUES\n", "INSERT INTO t (a)", "Values", "\n")
	f("INSERT INTO `a\\`b FORMAT x` FORMAT CSV\n1", "INSERT INTO `a\\`b FORMAT x`", "CSV", "1")
	f("INSERT INTO \"a\"\"b\" FORMAT CSV\n1", "INSERT INTO \"a\"\"b\"", "CSV", "1")
	f("INSERT INTO t PARTITION BY a VALUES (1)", "INSERT INTO t PARTITION BY a", "Values", " (1)")
}

func TestReadStatementOther(t *testing.T) {
	f := func(text, keyword, format string) {
		t.Helper()
		st := readStatement([]byte(text))
		if st.hasData || st.keyword != keyword || st.format != format || st.outfile {
			t.Errorf("%q: %+v", text, st)
		}
	}
	f("SELECT 1", "SELECT", "")
	f(" \n(SELECT 1) FORMAT JSON", "(", "JSON")
	f("with x as (select 1 format Null) select * from x", "WITH", "")
	f("SELECT 1 FORMAT JSON SETTINGS max_threads=1", "SELECT", "JSON")
	f("SELECT 1 FORMAT JSON;", "SELECT", "JSON")
	f("SELECT format FROM t", "SELECT", "")
	f("SELECT 'x FORMAT CSV'", "SELECT", "")
	f("SELECT 1 -- FORMAT CSV", "SELECT", "")
	f("/* /* nested */ SELECT */ SHOW TABLES FORMAT TSV", "SHOW", "TSV")
	f("INSERT INTO t SELECT 1", "INSERT", "")
	f("INSERT INTO t (a) SELECT x FROM values('x Int', 1)", "INSERT", "")
	f("INSERT INTO t (SELECT 1)", "INSERT", "")
	f("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", "INSERT", "")
	f("INSERT INTO t SETTINGS max_threads=1 SELECT 1", "INSERT", "")
	f("", "", "")
	f("'", "", "")
}

func TestReadStatementRefused(t *testing.T) {
	f := func(text string, refused bool) {
		t.Helper()
		if st := readStatement([]byte(text)); (st.outfile || st.setsDialect) != refused {
			t.Errorf("%q: %+v", text, st)
		}
	}
	f("SELECT 1 INTO OUTFILE 'x'", true)
	f("SELECT 1 into /* */ outfile 'x' format csv", true)
	f("INSERT INTO t FROM INFILE 'x' FORMAT CSV", true)
	f("INSERT INTO t SELECT 1 INTO OUTFILE 'x'", true)
	f("SET dialect = 'kusto'", true)
	f("SET a=1, `dialect` = 'prql'", true)
	f("SELECT 'INTO OUTFILE'", false)
	f("SELECT dialect FROM t", false)
	f("SELECT $a$ INTO OUTFILE $a$", false)
}

// An INSERT whose data cannot be found must not reach the engine as text.
func TestReadStatementUnclear(t *testing.T) {
	f := func(text string, unclear bool) {
		t.Helper()
		if st := readStatement([]byte(text)); st.unclear != unclear {
			t.Errorf("%q: %+v", text, st)
		}
	}
	f("INSERT INTO t FORMAT `CSV`\n1", true)
	f("INSERT INTO t FORMAT 'CSV'\n1", true)
	f("INSERT INTO t 'unfinished", true)
	f("INSERT INTO t (a SELECT 1", false) // nothing but a SELECT may follow; it does not parse
	f("INSERT INTO t SELECT * FROM input('a Int') FORMAT CSV\n1", true)
	f("INSERT INTO t SELECT input FROM u", false)
	f("INSERT INTO t VALUES", false)
	f("SELECT 1", false)
}

// No text makes the lexer stand still or step out of it.
func FuzzReadStatement(f *testing.F) {
	for _, s := range []string{"INSERT INTO t (a) FORMAT Native\n\x00", "SELECT $x$ a $x$", "/* /* */", "\u2018 \u2019", "SELECT 'a\\", "$", "INSERT INTO"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		st := readStatement(text)
		if st.dataStart < 0 || st.dataStart > len(text) {
			t.Errorf("data begins at %d of %d", st.dataStart, len(text))
		}
		_, _ = withoutFormat(text)
	})
}
