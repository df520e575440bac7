package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// maxScanLine bounds the memory that one line takes: a text of a mebibyte with every byte escaped.
const maxScanLine = 8 << 20

type scanCommand struct {
	File     string `arg:"" optional:"" help:"One text a line: a JSON string, or an object with the key text. Default: standard input." type:"path"`
	Source   string `help:"Where the texts come from: user, model or tool. In a tool's output less is enough." enum:"user,model,tool" default:"user"`
	Plain    bool   `help:"Every line is a text as it stands, not JSON: for files of plain text."`
	Patterns string `help:"Patterns of your own, YAML (see docs/detection.md)." type:"path" placeholder:"FILE"`
}

// Help is printed by `scan --help`.
func (scanCommand) Help() string {
	return `Looks for injected instructions, secrets, personal data and unsafe output in each text, and prints one line for each:
{"threat":"low","findings":[{"name":"pii.email","span":[11,27]}]}. Spans are bytes of the text in UTF-8. It needs no deployment.
Findings are no error: the exit code is 0 if every line could be scanned. Empty lines are skipped.`
}

func (c *scanCommand) Run(ctx context.Context, w *world) error {
	var options scan.Options
	if c.Patterns != "" {
		file, err := os.Open(c.Patterns)
		if err != nil {
			return err
		}
		defer file.Close()
		if options.Patterns, err = scan.ParsePatterns(file); err != nil {
			return fmt.Errorf("%s: %w", c.Patterns, err)
		}
	}
	scanner, err := scan.New(options)
	if err != nil {
		return err
	}
	in := w.stdin
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	source := map[string]scan.Source{"user": scan.FromUser, "model": scan.FromModel, "tool": scan.FromTool}[c.Source]
	var done atomic.Uint64
	defer progress.Show(w.stderr, "%d texts scanned …\n", &done)()
	textOf := textOfJSON
	if c.Plain {
		textOf = func(line []byte) ([]byte, error) { return line, nil }
	}
	return scanLines(ctx, scanner, source, textOf, in, w.stdout, &done)
}

// printsFirst has what was printed go out before it waits for more, so that a pipe can be followed.
type printsFirst struct {
	in io.Reader
	to *bufio.Writer
}

func (p printsFirst) Read(b []byte) (int, error) {
	if err := p.to.Flush(); err != nil {
		return 0, err
	}
	return p.in.Read(b)
}

// scanLines prints what is found in the text of each line.
func scanLines(
	ctx context.Context, scanner *scan.Scanner, source scan.Source, textOf func(line []byte) ([]byte, error), in io.Reader, out io.Writer, done *atomic.Uint64,
) error {
	to := bufio.NewWriterSize(out, 64<<10)
	lines := bufio.NewScanner(printsFirst{in, to})
	lines.Buffer(make([]byte, 0, 64<<10), maxScanLine)
	scratch := scan.NewScratch()
	var result []byte
	number := 0
	for lines.Scan() {
		number++
		if err := ctx.Err(); err != nil {
			return err
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		text, err := textOf(line)
		if err != nil {
			return errors.Join(to.Flush(), fmt.Errorf("line %d: %w", number, err))
		}
		findings, threat := scanner.Scan(scratch, text, source)
		result = appendFindings(result[:0], findings, threat)
		if _, err := to.Write(result); err != nil {
			return err
		}
		done.Add(1)
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("line %d is longer than %d bytes", number+1, maxScanLine)
	}
	return errors.Join(to.Flush(), err)
}

// errNoText says nothing of the line: it may be anybody's data.
var errNoText = errors.New("neither a JSON string nor an object with a string called text; for plain text give --plain")

func textOfJSON(line []byte) ([]byte, error) {
	lenient := json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if line[0] == '"' {
		var text string
		if err := json.Unmarshal(line, &text, lenient); err != nil {
			return nil, errNoText
		}
		return []byte(text), nil
	}
	var object struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(line, &object, lenient); err != nil || object.Text == nil {
		return nil, errNoText
	}
	return []byte(*object.Text), nil
}

// appendFindings appends a line of output. Names have nothing in them that JSON would escape.
func appendFindings(dst []byte, findings []scan.Finding, threat scan.Threat) []byte {
	dst = append(append(append(dst, `{"threat":"`...), threat.String()...), `","findings":[`...)
	for i, f := range findings {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"name":"`...), f.Name...), `","span":[`...)
		dst = strconv.AppendInt(dst, int64(f.Start), 10)
		dst = append(dst, ',')
		dst = strconv.AppendInt(dst, int64(f.End), 10)
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}\n"...)
}
