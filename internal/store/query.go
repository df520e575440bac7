package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
)

// format is the name of a ClickHouse format.
var format = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// Query runs one statement, read-only, in our database, and writes its result to w in
// the given ClickHouse format (TabSeparated, JSONEachRow, PrettyCompact …) as the
// server makes it. After an error a part of the result may have been written. The
// server refuses what is not read-only, and more than one statement.
func (s *Store) Query(ctx context.Context, sql, inFormat string, w io.Writer) error {
	if !format.MatchString(inFormat) {
		return errors.New("query: the format must be the name of a ClickHouse format, such as TabSeparated or JSONEachRow")
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	err := s.read(ctx, func(at *server) error {
		p, err := s.queryParams(ctx, at)
		if err != nil {
			return err
		}
		return at.copyResult(ctx, sql, p.with(params{"database": s.cfg.Database, "default_format": inFormat}), w)
	})
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// queryParams are the settings of a stranger's statement. A user who is read-only by
// profile can change fewer of them, or none.
func (s *Store) queryParams(ctx context.Context, at *server) (params, error) {
	var readonly proto.ColUInt64
	sql := "SELECT toUInt64(getSetting('readonly')) AS readonly FORMAT Native"
	err := at.readNative(ctx, sql, params{}, proto.Results{{Name: "readonly", Data: &readonly}}, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	seconds := strconv.Itoa(int(s.cfg.QueryTimeout.Seconds()))
	switch readonly.Row(0) {
	case 0:
		return params{"readonly": "1", "max_execution_time": seconds}, nil
	case 1:
		return params{}, nil
	default:
		return params{"max_execution_time": seconds}, nil
	}
}

// copyResult copies the result of a statement as it comes.
func (s *server) copyResult(ctx context.Context, sql string, p params, w io.Writer) error {
	resp, err := s.ask(ctx, sql, p)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &lastRead{r: resp.Body}
	if _, err := io.Copy(w, body); err != nil {
		if body.err != nil {
			return body.explain(ctx, err)
		}
		return fmt.Errorf("write result: %w", err)
	}
	// Older servers end a response that failed midway as if it were whole.
	if late := body.exception(resp.Header.Get("X-ClickHouse-Exception-Tag")); late != nil {
		return late
	}
	return nil
}

// endOfException is how a server of before exception tags ends the text of an exception.
var endOfException = regexp.MustCompile(`DB::[A-Za-z]*Exception: [^\x00]* \(version [^()]*( \([^()]*\))?\)\s*$`)

// exception returns the exception that ends a response, nil if it ends as it should.
func (l *lastRead) exception(tag string) error {
	marked := tag != "" && bytes.Contains(l.last, []byte("__exception__\r\n"+tag))
	if !marked && (tag != "" || !endOfException.Match(l.last)) {
		return nil
	}
	if e := parseException(l.last); e != nil {
		return e
	}
	return errors.New("the server failed within the result")
}
