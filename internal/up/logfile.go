package up

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A child's log is DIR/logs/NAME.log and, once that is full, NAME.log.1 besides.
const maxLogBytes = 16 << 20

// maxLineBytes bounds what is kept of a line that has no end.
const maxLineBytes = 64 << 10

// childLog takes what a child prints, line by line, into its log file and, with the child's name in front, to
// the console. Safe for concurrent use.
type childLog struct {
	path    string
	prefix  string
	console *console // nil: quiet

	mu    sync.Mutex
	file  *os.File
	size  int64
	line  []byte // the beginning of a line that has not ended
	last  string // the latest complete line, to say why a child ended
	fault error  // why the file cannot be written; the child goes on
}

func openChildLog(path, name string, console *console) (*childLog, error) {
	l := &childLog{path: path, prefix: fmt.Sprintf("%-10s | ", name), console: console}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	return l, nil
}

func (l *childLog) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write never fails: a full disk must not stop a child by a blocked or broken pipe.
func (l *childLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			l.line = append(l.line, rest[:min(len(rest), max(0, maxLineBytes-len(l.line)))]...)
			break
		}
		l.line = append(l.line, rest[:min(end, max(0, maxLineBytes-len(l.line)))]...)
		l.endLine()
		rest = rest[end+1:]
	}
	return len(p), nil
}

// endLine writes the line out. The caller holds mu.
func (l *childLog) endLine() {
	l.last = string(l.line)
	l.line = append(l.line, '\n')
	if l.size+int64(len(l.line)) > maxLogBytes {
		l.rotate()
	}
	if l.file != nil {
		n, err := l.file.Write(l.line)
		l.size += int64(n)
		l.note(err)
	}
	if l.console != nil {
		l.console.print(l.prefix + string(l.line))
	}
	l.line = l.line[:0]
}

// rotate keeps the full file beside a new one. The caller holds mu.
func (l *childLog) rotate() {
	if l.file != nil {
		l.note(l.file.Close())
		l.file = nil
	}
	l.note(os.Rename(l.path, l.path+".1"))
	l.note(l.open())
}

// note shows the first fault of a series. The caller holds mu.
func (l *childLog) note(err error) {
	if err != nil && l.fault == nil && l.console != nil {
		l.console.print(l.prefix + "log file: " + err.Error() + "\n")
	}
	l.fault = err
}

// lastLine is the latest line that the child printed.
func (l *childLog) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *childLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.endLine()
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// console writes whole lines, so that those of several children do not mix. Safe for concurrent use.
type console struct {
	mu  sync.Mutex
	out io.Writer
}

// print ignores errors: a terminal that has gone must not end what runs.
func (c *console) print(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.out, line)
}

// Write takes progress of others, such as a download's.
func (c *console) Write(p []byte) (int, error) {
	c.print(string(p))
	return len(p), nil
}

func (c *console) printf(format string, args ...any) { c.print(fmt.Sprintf(format, args...) + "\n") }
