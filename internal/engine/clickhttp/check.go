package clickhttp

import (
	"errors"
	"regexp"
	"strings"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// check refuses what no client may do, and what a readonly request may not.
func (x *run) check(c *conn) (libchdb.Class, error) {
	if x.st.setsDialect {
		return libchdb.Unknown, errDialect()
	}
	if x.st.outfile {
		return libchdb.Unknown, errFiles()
	}
	if x.st.unclear {
		return libchdb.Unknown, exception(codeNotImplemented, "NOT_IMPLEMENTED", "This form of INSERT is not available in the embedded engine: use VALUES, FORMAT name, or SELECT without input()")
	}
	text := x.sql()
	if x.st.hasData {
		text = x.st.head + " FORMAT " + x.st.format
	}
	a, err := c.Classify(text)
	if err != nil {
		return libchdb.Unknown, err
	}
	switch {
	case a.Statements == 0:
		return libchdb.Unknown, c.syntaxError(text)
	case a.Statements > 1:
		return libchdb.Unknown, exception(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): the text holds %d statements", a.Statements)
	case a.Class == libchdb.Control && isRead(x.st.keyword):
		// The engine's parser found an output file that ours did not, or settings of inserts.
		return a.Class, errFiles()
	}
	if x.q.settings.readonly == "1" || x.q.settings.readonly == "2" {
		return a.Class, x.checkReadonly(c, a.Class, text)
	}
	return a.Class, nil
}

// syntaxError has the engine say what is wrong with a text that it cannot parse, without running
// any of it.
func (c *conn) syntaxError(sql string) error {
	res, err := c.Query("SELECT formatQuery({statement:String})", "Null", libchdb.Param{Name: "statement", Value: paramEscapes.Replace(sql)})
	if err != nil {
		return trimScope(err)
	}
	res.Free()
	return exception(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: the statement was not understood")
}

// paramEscapes: the engine reads a parameter's value like a field of TabSeparated.
var paramEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, "\x00", `\0`)

func errFiles() error {
	return exception(codeOutfileNotAllowed, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE and FROM INFILE are not allowed")
}

func isRead(keyword string) bool {
	switch keyword {
	case "SELECT", "WITH", "(", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "VALUES", "FROM":
		return true
	}
	return false
}

// checkReadonly lets reads pass that stay inside the engine. The engine enforces part of this by
// its own setting; files and the network are refused here, by the functions that the engine's
// parser finds in the statement.
func (x *run) checkReadonly(c *conn, class libchdb.Class, text string) error {
	if class != libchdb.ReadOnly || !isRead(x.st.keyword) {
		return exception(codeReadonly, "READONLY", "Cannot execute query in readonly mode")
	}
	var settingsFollow bool
	if x.st.format != "" {
		text, settingsFollow = withoutFormat(x.text)
	}
	res, err := c.Query("EXPLAIN AST "+text, "TSVRaw", x.q.params...)
	if err != nil {
		return trimScope(err)
	}
	defer res.Free()
	tree := string(res.Bytes())
	if x.q.settings.readonly == "1" && (settingsFollow || changesSettings(tree)) {
		return exception(codeReadonly, "READONLY", "Cannot modify settings in readonly mode")
	}
	for _, found := range astFunction.FindAllStringSubmatch(tree, -1) {
		if x.s.sources[strings.ToLower(found[1])] {
			return exception(codeFunctionNotAllowed, "FUNCTION_NOT_ALLOWED", "Function %s reaches out of the engine and is not allowed in readonly mode", found[1])
		}
	}
	return nil
}

// Lines of EXPLAIN AST, which indents by one blank a level.
var (
	astFunction = regexp.MustCompile(`(?m)^ *(?:Table)?Function ([^ \n]+)`)
	astSettings = regexp.MustCompile(`(?m)^( *)Set\b`)
)

// changesSettings finds a SETTINGS clause. What EXPLAIN itself takes, header = 1 say, is none.
func changesSettings(tree string) bool {
	own := 0
	if strings.HasPrefix(tree, "Explain") {
		own = 1 // the level of EXPLAIN's own
	}
	for _, found := range astSettings.FindAllStringSubmatch(tree, -1) {
		if own == 0 || len(found[1]) != own {
			return true
		}
	}
	return false
}

// withoutFormat cuts the FORMAT clause off, with what follows it, and says whether that is a
// SETTINGS clause.
func withoutFormat(text []byte) (cutText string, settingsFollow bool) {
	l := &lexer{text: text}
	cut, before, depth := len(text), token{}, 0
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		depth += depthChange(l, t)
		if depth == 0 && t.kind == tokenWord && l.is(before, "FORMAT") && formatEnds(l) {
			cut = before.start
		}
		settingsFollow = settingsFollow || cut < len(text) && l.is(t, "SETTINGS")
		before = t
	}
	return string(text[:cut]), settingsFollow
}

// inside are the table functions that only compute or only read what is in the engine.
var inside = map[string]bool{
	"numbers": true, "numbers_mt": true, "zeros": true, "zeros_mt": true, "generaterandom": true,
	"generateseries": true, "generate_series": true, "values": true, "view": true, "null": true,
	"viewifpermitted": true, "merge": true, "mergetreeindex": true, "mergetreeprojection": true, "dictionary": true,
	"format": true, "fuzzjson": true, "fuzzquery": true, "loop": true, "primes": true, "input": true,
	"timeseriesdata": true, "timeseriesmetrics": true, "timeseriestags": true, "timeseriesselector": true,
	"mergetreeanalyzeindexes": true, "mergetreeanalyzeindexesuuid": true, "mergetreetextindex": true,
	"prometheusquery": true, "prometheusqueryrange": true, "sqlstandardvalues": true,
}

// readSources lists what readonly requests may not call: every table function that is not known
// to stay inside, and the plain functions that read files or open connections.
func readSources(c *libchdb.Conn) (map[string]bool, error) {
	names, err := queryText(c, "SELECT lower(name) FROM system.table_functions ORDER BY name")
	if err != nil {
		return nil, err
	}
	out := map[string]bool{
		"file": true, "hascolumnintable": true, "reversednsquery": true, "catboostevaluate": true,
		"addresstoline": true, "addresstolinewithinlines": true,
	}
	for _, name := range strings.Split(names, "\n") {
		if !inside[name] {
			out[name] = true
		}
	}
	ai, err := queryText(c, "SELECT lower(name) FROM system.functions WHERE startsWith(name, 'ai') ORDER BY name")
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(ai, "\n") {
		out[name] = true
	}
	return out, nil
}

// trimScope takes the part of a message away that quotes our own statement around the client's.
func trimScope(err error) error {
	var e *libchdb.Error
	if !errors.As(err, &e) {
		return err
	}
	message := e.Message
	for _, mark := range []string{": In scope ", ": while executing "} {
		if i := strings.Index(message, mark); i >= 0 {
			message = message[:i]
		}
	}
	if message != e.Message {
		message += ". (SYNTAX_ERROR)"
	}
	return &libchdb.Error{Code: e.Code, Message: message}
}
