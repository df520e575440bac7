package clickhttp

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"
)

// insert runs an INSERT with data. It is in system.processes before the first byte of the body is
// read, and only a complete body is handed to the engine. A client that goes away while the engine
// stores its data changes nothing: the insert ends as it would have.
func (x *run) insert(ctx context.Context, c *conn) error {
	ins, err := c.Insert(x.st.head, x.st.format, x.q.params...)
	if err != nil {
		return err
	}
	defer ins.Close()

	if x.q.maxExecution > 0 {
		x.wire.until = x.started.Add(x.q.maxExecution)
	}
	data, err := x.s.readBody(ctx, io.MultiReader(bytes.NewReader(x.text[x.st.dataStart:]), x.data), x.s.cfg.MaxBodyBytes)
	if err != nil {
		if !x.wire.until.IsZero() && time.Now().After(x.wire.until) {
			return exception(codeTimeoutExceeded, "TIMEOUT_EXCEEDED", "Timeout exceeded: the data did not arrive within max_execution_time (%s)", x.q.maxExecution)
		}
		return err
	}
	defer data.free()
	if strings.EqualFold(x.st.format, "Values") {
		var v valuesScanner
		data.each(v.scan)
		if v.more {
			return exception(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): the values are followed by another statement")
		}
	}
	data.each(ins.Append)
	stats, err := ins.Commit()
	if err != nil {
		return err
	}
	stats.ElapsedSeconds = time.Since(x.started).Seconds()
	setSummary(x.w.Header(), stats)
	x.w.Header().Set("Content-Length", "0")
	return nil
}
