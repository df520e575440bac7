package vault

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// Cosigned is the latest checkpoint of a log that a witness has signed.
type Cosigned struct {
	Log     string
	Witness string    // name and id of the witness's key
	Size    uint64    // entries
	Note    string    // with the signatures of our keys and of this witness
	At      time.Time // when the witness answered; kept in microseconds, UTC
}

const (
	cosignedColumns = `SELECT log, witness, size, note, at_micros FROM cosigned`
	upsertCosigned  = `INSERT INTO cosigned (log, witness, size, note, at_micros) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (log, witness) DO UPDATE SET size = excluded.size, note = excluded.note, at_micros = excluded.at_micros
		WHERE cosigned.size <= excluded.size`
)

func scanCosigned(rows *sql.Rows, c *Cosigned) error {
	return rows.Scan(&c.Log, &c.Witness, &c.Size, &c.Note, microTime{&c.At})
}

// KeepCosigned stores what a witness has signed, unless something later of that witness is there.
func (v *Vault) KeepCosigned(ctx context.Context, c Cosigned) error {
	if c.Size == 0 || c.Size > math.MaxInt64 {
		return fmt.Errorf("keep a cosigned checkpoint of %s at %d entries", c.Log, c.Size)
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if _, err := v.db.exec(ctx, upsertCosigned, c.Log, c.Witness, int64(c.Size), c.Note, c.At.UnixMicro()); err != nil {
		return v.failed("keep a cosigned checkpoint of "+c.Log, err)
	}
	return nil
}

// Cosigned returns the latest checkpoint of a log that each witness has signed, by witness.
func (v *Vault) Cosigned(ctx context.Context, log string) ([]Cosigned, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanCosigned, v.db.query(cosignedColumns+` WHERE log = ? ORDER BY witness`), log)
	if err != nil {
		return nil, v.failed("read cosigned checkpoints", err)
	}
	return list, nil
}
