package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table is what the run prints at its end.
type table struct{ rows [][3]string }

func (t *table) add(what, figure, note string) {
	t.rows = append(t.rows, [3]string{what, figure, note})
}

func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range t.rows {
		if _, err := fmt.Fprintf(tw, "%s\t%s\t%s\n", r[0], r[1], r[2]); err != nil {
			return err
		}
	}
	return tw.Flush()
}
