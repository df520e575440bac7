package events

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// What mutants get in: values, members, and bytes that are wrong in places.
var (
	mutantValues = []string{
		`null`, `true`, `0`, `-0`, `-1`, `1.0`, `1e3`, `1E-2`, `9007199254740991`, `9007199254740992`, `1e400`, `01`, `.5`, `5.`, `""`, `"a"`, `[]`, `{}`, `[1,"a",null]`, `["a","b"]`, `{"a":"b"}`,
		`{"a":1,"a":2}`, `{"a":{"b":1},"b":[{}]}`, `"\u0000"`, `"\u000a"`, `"\ud83e\udd16"`, `"\ud83e"`, `"\udd16"`, `"\/"`, `"\x"`, "\"\xff\"", "\"\xc2\x85\"", "\"\x7f\"", "\"é\"",
		`"a/b"`, `"tool.call"`, `"gdpr.x"`, `"denied"`, `"1999-12-31T23:59:59Z"`, `"2199-12-31T23:59:59.999999999-00:00"`, `"2016-12-31T23:59:60Z"`, `"00000000-0000-0000-0000-000000000000"`,
	}
	mutantMembers = []string{
		`"x":1`, `"x" : [ ]`, `"user_id":"b"`, `"\u0075ser_id":"b"`, `"User_id":"b"`, `"":0`, `"tenant":""`, `"session_id":""`, `"id":"i"`, `"name":"n"`, `"na\u006de":"n"`, `"agent":{"id":"a"}`, `"agent":{"id":"a","id":"b","x":{}}`,
		`"usage":{"cost_usd":-0.0}`, `"usage":{"cost_usd":1e-7,"input_tokens":1}`, `"data_subjects":["a","a",""]`, `"attributes":{"a":"b","\u0061":"c"}`, `"content":{"input":{"a":[1,{"b":null}]}}`, `"producer":null`,
	}
	mutantBytes = []string{`,`, `:`, `"`, `\`, `{`, `}`, `[`, `]`, ` `, "\n", "\x00", "\x1f", "\xef\xbb\xbf", "\u00a0", `\u005f`, `\"`, `a`, `9`, `-`, `e`}
)

// mutate changes a record in one to three places: mostly so that it stays JSON.
func mutate(random *rand.Rand, record []byte) []byte {
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	for range 1 + random.IntN(3) {
		values := tokens(record)
		if len(values) == 0 {
			break // no longer JSON
		}
		token := values[random.IntN(len(values))]
		switch random.IntN(10) {
		case 0, 1, 2: // another value or name
			record = splice(record, token.start, token.end, pick(mutantValues))
		case 3, 4: // one more member
			at := token.start + bytes.IndexByte(record[token.start:], '{') + 1
			comma := ","
			if at < len(record) && record[at] == '}' {
				comma = ""
			}
			record = splice(record, at, at, pick(mutantMembers)+comma)
		case 5, 6: // an escape that changes nothing
			if at := token.start + 1 + random.IntN(token.end-token.start); at < token.end-1 && record[token.start] == '"' && record[at] >= '0' && record[at-1] != '\\' && record[at] < 0x7f {
				record = splice(record, at, at+1, `\u00`+strconv.FormatUint(uint64(record[at]), 16))
			}
		case 7: // white space
			record = splice(record, token.start, token.start, " \r\n\t")
		case 8: // wrong bytes anywhere
			at := random.IntN(len(record) + 1)
			record = splice(record, at, min(len(record), at+random.IntN(3)), pick(mutantBytes))
		case 9: // cut, or a piece missing
			at := random.IntN(len(record))
			record = splice(record, at, min(len(record), at+1+random.IntN(12)), "")
		}
	}
	return record
}

// token is a string, number, word, object or array of a record.
type token struct{ start, end int }

// tokens returns those of a record up to its first fault.
func tokens(record []byte) (all []token) {
	var open []int
	decoder := jsontext.NewDecoder(bytes.NewReader(record))
	for {
		before := int(decoder.InputOffset())
		kind, err := decoder.ReadToken()
		if err != nil {
			return all
		}
		end := int(decoder.InputOffset())
		start := before + len(record[before:end]) - len(bytes.TrimLeft(record[before:end], " \t\r\n,:"))
		switch kind.Kind() {
		case '{', '[':
			open = append(open, start)
		case '}', ']':
			start, open = open[len(open)-1], open[:len(open)-1]
			fallthrough
		default:
			all = append(all, token{start, end})
		}
	}
}

// splice replaces record[from:to].
func splice(record []byte, from, to int, with string) []byte {
	return append(append(bytes.Clone(record[:from]), with...), record[to:]...)
}

// TestMutants compares parser, jsontext and schema on records that are nearly right, which random
// bytes seldom are. AGENTAUDIT_MUTANTS sets how many.
func TestMutants(t *testing.T) {
	n := 20_000
	if text := os.Getenv("AGENTAUDIT_MUTANTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	var originals [][]byte
	for _, v := range readVectors(t, "accepted.jsonl") {
		if len(v.Record) < 2000 {
			originals = append(originals, v.Record)
		}
	}
	originals = append(originals, []byte(event470), []byte(event840), []byte(event1400))
	schema := compileSchema(t)
	parser, ev := NewParser(), new(Event)
	random := rand.New(rand.NewPCG(1, uint64(n)))
	accepted := 0
	for range n {
		mutant := mutate(random, originals[random.IntN(len(originals))])
		checkAgreement(t, schema, parser, ev, mutant)
		if t.Failed() {
			t.Fatalf("mutant %q", mutant)
		}
		if ev.seen != 0 {
			accepted++
		}
	}
	if accepted < n/10 {
		t.Errorf("only %d of %d mutants are accepted", accepted, n)
	}
}
