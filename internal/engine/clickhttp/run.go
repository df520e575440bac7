package clickhttp

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// run is one statement on its way through the engine.
type run struct {
	s       *Server
	q       *request
	w       http.ResponseWriter
	r       *http.Request
	text    []byte      // the statement, and the beginning of its data
	data    io.Reader   // what is left of the body
	wire    *bodyReader // below data
	st      statement
	started time.Time
}

// alone runs on a connection of the request's own settings, which is kept for the next request of
// the same ones if the statement could not change it.
func (x *run) alone(ctx context.Context) error {
	c, err := x.s.pool.take(&x.q.settings)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if keep {
			x.s.pool.put(c)
		} else {
			c.Close()
		}
	}()
	class, err := x.on(ctx, c)
	keep = err == nil && (class == libchdb.ReadOnly || class == libchdb.Mutating)
	return err
}

// inSession runs on the session's connection. readonly is enforced by checkReadonly alone: the
// engine could not be told to forget it afterwards.
func (x *run) inSession(ctx context.Context) error {
	held, err := x.s.sessions.acquire(x.q.session, func() (*conn, error) { return x.s.pool.open(&settings{}) })
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if !whole {
			// The engine keeps a statement that failed, or was abandoned, in system.processes until
			// its connection runs another or is closed; in a session that may be long.
			_ = held.conn.exec("SELECT 1") // it cannot fail in a way that the next statement does not
		}
		x.s.sessions.release(held, x.q.session)
	}()
	want := settings{values: x.q.settings.values, database: x.q.settings.database}
	if isSessionStatement(x.st.keyword) {
		want = settings{} // it acts on the session's own state
	}
	if err := held.use(&want); err != nil {
		return err
	}
	if _, err = x.on(ctx, held.conn); err != nil {
		return err
	}
	whole = true
	if isSessionStatement(x.st.keyword) {
		return held.learn()
	}
	return nil
}

func isSessionStatement(keyword string) bool { return keyword == "SET" || keyword == "USE" }

// on checks the statement and runs it on c. An error means that nothing was answered yet.
func (x *run) on(ctx context.Context, c *conn) (libchdb.Class, error) {
	class, err := x.check(c)
	if err != nil {
		return class, err
	}
	if x.st.hasData {
		return class, x.insert(ctx, c)
	}
	stop := x.s.pool.killOn(ctx, c)
	defer stop()
	if class == libchdb.ReadOnly && x.streams() {
		return class, x.stream(c)
	}
	return class, x.whole(c)
}

func (x *run) sql() string { return string(x.text) }

func (x *run) format() string {
	if x.st.format != "" && !x.st.hasData {
		return x.st.format
	}
	return x.q.format
}

// streamable are the formats that are the same whether written at once or block by block. Of the
// others the engine would write a header, or a whole document, for each block.
var streamable = map[string]bool{
	"native": true, "tabseparated": true, "tsv": true, "tabseparatedraw": true, "tsvraw": true, "raw": true,
	"csv": true, "jsoneachrow": true, "jsonlines": true, "ndjson": true, "jsoncompacteachrow": true,
	"jsonstringseachrow": true, "jsoncompactstringseachrow": true, "rowbinary": true, "lineasstring": true,
	"rawblob": true, "tskv": true,
}

func (x *run) streams() bool {
	return (x.st.keyword == "SELECT" || x.st.keyword == "WITH") && !x.st.totals &&
		!settingTrue(x.q.settings.values["extremes"]) && !x.q.wholeAnswer && streamable[strings.ToLower(x.format())]
}

// stream answers block by block. The first one is fetched before the status is sent, so that a
// statement that fails early fails as an HTTP error.
func (x *run) stream(c *conn) error {
	s, err := c.Stream(x.sql(), x.q.format, x.q.params...)
	if err != nil {
		return err
	}
	defer s.Close()
	chunk, err := s.Next()
	if err != nil {
		return err
	}
	setSummary(x.w.Header(), libchdb.Stats{ElapsedSeconds: time.Since(x.started).Seconds()})
	out := x.s.newAnswer(x.w, x.r, x.q, x.format())
	for chunk != nil {
		func() {
			defer chunk.Free() // also when the client is gone
			out.write(chunk.Bytes())
		}()
		if chunk, err = s.Next(); err != nil {
			out.fail(err)
		}
	}
	out.end()
	return nil
}

// whole runs the statement to its end before it answers.
func (x *run) whole(c *conn) error {
	res, err := c.Query(x.sql(), x.q.format, x.q.params...)
	if err != nil {
		return err
	}
	defer res.Free()
	setSummary(x.w.Header(), res.Stats())
	out := x.s.newAnswer(x.w, x.r, x.q, x.format())
	out.write(res.Bytes())
	out.end()
	return nil
}
