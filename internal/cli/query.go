package cli

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/agentaudit/agentaudit/internal/process"
)

type queryCommand struct {
	SQL    string `arg:"" name:"sql" help:"One read-only statement. '-' reads it from standard input."`
	Format string `short:"f" help:"ClickHouse's output format, such as JSONEachRow, CSVWithNames, TabSeparated. Default: PrettyCompact on a terminal, else TabSeparated." placeholder:"F"`
	JSON   bool   `help:"As --format JSONEachRow."`
}

// Help is printed by `query --help`.
func (queryCommand) Help() string {
	return `Runs SQL on the database of the configuration ("audit"), whose table events has one row for each entry. For example:
  agentaudit query --data .data "SELECT type, outcome, count() FROM events GROUP BY ALL ORDER BY 3 DESC"`
}

func (c *queryCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	sql := c.SQL
	if sql == "-" {
		text, err := io.ReadAll(w.stdin)
		if err != nil {
			return err
		}
		sql = string(text)
	}
	format := c.Format
	switch {
	case format != "":
	case c.JSON:
		format = "JSONEachRow"
	case isTerminal(w.stdout):
		format = "PrettyCompact"
	default:
		format = "TabSeparated"
	}
	store, err := process.OpenStore(ctx, cfg)
	if err != nil {
		return w.running(err)
	}
	defer store.Close()
	return store.Query(ctx, sql, format, w.stdout)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
