package vault

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// NoticeKind is what a Notice is about.
type NoticeKind string

// The kinds of notices.
const (
	NoticeIncident NoticeKind = "incident"
	NoticeDigest   NoticeKind = "digest" // the summary of a day
)

// Notice is what receivers of alerts are to be told. Of a person it has the pseudonym at most. Times are kept in microseconds, UTC.
type Notice struct {
	ID         [16]byte // the incident's
	Kind       NoticeKind
	Part       int // partition of the topic of alerts; who reads that one sends it
	Revision   uint32
	Version    int64 // rises with each change of what is shown, from 1; KeepNotice counts it
	Severity   uint8
	Status     string
	Summarised bool
	Tenant     string
	At         time.Time // in the events' time
	Changed    time.Time // when this revision was read
	Body       string    // JSON
	Verdict    NoticeVerdict
}

// NoticeVerdict is what somebody said of an incident by a button. The zero value: nothing.
type NoticeVerdict struct {
	Verdict string
	By      string    // pseudonym of who said it
	Until   time.Time // zero: for good
	At      time.Time
}

// NoticeCount is how many incidents of one kind a tenant had.
type NoticeCount struct {
	Tenant     string
	Severity   uint8
	Status     string
	Summarised bool
	Count      int
}

const (
	noticeColumns = `n.id, n.kind, n.part, n.revision, n.version, n.severity, n.status, n.summarised, n.tenant, n.at_micros, n.changed_micros, n.body,
		n.verdict, n.verdict_by, n.verdict_until_micros, n.verdict_micros, n.mac`
	fromNotices  = `SELECT ` + noticeColumns + ` FROM notices n`
	selectNotice = fromNotices + ` WHERE n.id = ?`
	// upsertNotice is for who holds the row, or knows that there was none.
	upsertNotice = `INSERT INTO notices (id, kind, part, revision, version, severity, status, summarised, tenant, at_micros, changed_micros, body, verdict, verdict_by,
			verdict_until_micros, verdict_micros, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, part = excluded.part, revision = excluded.revision, version = excluded.version,
			severity = excluded.severity, status = excluded.status, summarised = excluded.summarised, tenant = excluded.tenant, at_micros = excluded.at_micros,
			changed_micros = excluded.changed_micros, body = excluded.body, verdict = excluded.verdict, verdict_by = excluded.verdict_by,
			verdict_until_micros = excluded.verdict_until_micros, verdict_micros = excluded.verdict_micros, mac = excluded.mac`
	// claimNotice makes the row of a notice that is about to be kept, so that of several who keep it at once one comes first.
	claimNotice = `INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body)
		VALUES (?, ?, 0, 0, 0, '', 0, '', 0, 0, '') ON CONFLICT (id) DO NOTHING`
	noticesWithin = fromNotices + ` WHERE n.kind = 'incident' AND n.at_micros >= ? AND n.at_micros < ?`
	latestNotices = fromNotices + ` WHERE n.kind = ? ORDER BY n.at_micros DESC, n.id`
	// Both leave alone what somebody has not been told yet.
	oldPosts = `DELETE FROM notice_posts WHERE notice IN (SELECT id FROM notices n WHERE n.changed_micros < ?
		AND NOT EXISTS (SELECT 1 FROM notice_posts p WHERE p.notice = n.id AND p.pending > 0))`
	oldNotices = `DELETE FROM notices WHERE changed_micros < ? AND NOT EXISTS (SELECT 1 FROM notice_posts p WHERE p.notice = notices.id)`
)

// describe is for a MAC: what stands here is shown to people as what we have found, with a person's name if that is wanted.
func (n *Notice) describe(t *rowText) {
	t.begin("notices", n.ID)
	t.string(string(n.Kind))
	t.number(int64(n.Part))
	t.number(int64(n.Revision))
	t.number(n.Version)
	t.number(int64(n.Severity))
	t.string(n.Status)
	t.number(integer(n.Summarised))
	t.string(n.Tenant)
	t.time(n.At)
	t.time(n.Changed)
	t.string(n.Body)
	t.string(n.Verdict.Verdict)
	t.string(n.Verdict.By)
	t.time(n.Verdict.Until)
	t.time(n.Verdict.At)
}

func scanAlert(rows scanner, n *Notice) error {
	return rows.Scan(fixed(n.ID[:]), &n.Kind, &n.Part, &n.Revision, &n.Version, &n.Severity, &n.Status, &n.Summarised, &n.Tenant, optionalTime{&n.At},
		optionalTime{&n.Changed}, &n.Body, &n.Verdict.Verdict, &n.Verdict.By, optionalTime{&n.Verdict.Until}, optionalTime{&n.Verdict.At})
}

func (v *Vault) storeNotice(ctx context.Context, tx *sql.Tx, n *Notice) error {
	_, err := tx.ExecContext(ctx, v.db.query(upsertNotice), n.ID[:], n.Kind, n.Part, int64(n.Revision), n.Version, int64(n.Severity), n.Status, integer(n.Summarised),
		n.Tenant, microsOrZero(n.At), microsOrZero(n.Changed), n.Body, n.Verdict.Verdict, n.Verdict.By, microsOrZero(n.Verdict.Until), microsOrZero(n.Verdict.At), v.mac(n))
	return err
}

// optionalTime is microTime for columns where 0 is no time.
type optionalTime struct{ at *time.Time }

func (o optionalTime) Scan(src any) error {
	if micros, ok := src.(int64); ok && micros == 0 {
		*o.at = time.Time{}
		return nil
	}
	return microTime(o).Scan(src)
}

// integer is how a boolean stands in a column of integers.
func integer(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// Notice returns a notice, and false if there is none. One that is not ours is none.
func (v *Vault) Notice(ctx context.Context, id [16]byte) (Notice, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanAlert, selectNotice, id[:])
	if err != nil {
		return Notice{}, false, v.failed("read a notice", err)
	}
	if len(list) == 0 {
		return Notice{}, false, nil
	}
	return list[0], true, nil
}

// LatestNotice returns the notice of a kind whose time is the latest, and false if there is none.
func (v *Vault) LatestNotice(ctx context.Context, kind NoticeKind) (latest Notice, found bool, err error) {
	err = v.eachNotice(ctx, func(n *Notice) bool {
		latest, found = *n, true
		return false
	}, latestNotices, kind)
	if err != nil {
		return Notice{}, false, v.failed("read a notice", err)
	}
	return latest, found, nil
}

// eachNotice gives those of a query that are ours to take, one at a time, until it returns false: there may be many, and long ones.
func (v *Vault) eachNotice(ctx context.Context, take func(*Notice) bool, query string, args ...any) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	rows, err := v.db.read.QueryContext(ctx, v.db.query(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	stamp := v.secrets.stamp()
	for rows.Next() {
		var n Notice
		var mac []byte
		if err := scanAlert(besideMAC{rows, &mac}, &n); err != nil {
			return err
		}
		if v.tell(stamp.check(&n, mac)) == nil && !take(&n) {
			return nil
		}
	}
	return rows.Err()
}

// heldNotice returns a notice, and holds its row until the end of the transaction; nil if there is none. One that is not ours has an error besides, and nothing in
// it is true.
func (v *Vault) heldNotice(ctx context.Context, tx *sql.Tx, id [16]byte) (*Notice, *ForgedError, error) {
	list, forged, err := sorted(ctx, v, tx, scanAlert, selectNotice+v.db.forUpdate(), id[:])
	switch {
	case err != nil:
		return nil, nil, err
	case len(forged) > 0:
		return &forged[0].row, forged[0].err, nil
	case len(list) > 0:
		return &list[0], nil, nil
	}
	return nil, nil, nil
}

// KeepNotice stores a notice, or a later revision of it, and has its receivers told: those that it has, and targets. It returns false, and changes nothing,
// if this revision or a later one is there already, so a call whose outcome is unknown can be repeated. A forged notice gives way, and a receiver of whom a forged
// row says how far he is, is told anew.
func (v *Vault) KeepNotice(ctx context.Context, n Notice, targets []string) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	changed := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		changed = false
		result, err := tx.ExecContext(ctx, v.db.query(claimNotice), n.ID[:], n.Kind)
		if err != nil {
			return err
		}
		made, err := result.RowsAffected()
		if err != nil {
			return err
		}
		n.Version, n.Verdict = 1, NoticeVerdict{}
		if made == 0 {
			before, forged, err := v.heldNotice(ctx, tx, n.ID)
			switch {
			case err != nil:
				return err
			case before == nil || forged != nil: // the first: it was deleted in this moment
			case before.Revision >= n.Revision:
				return nil
			default:
				n.Version, n.Verdict = before.Version+1, before.Verdict
			}
		}
		posts, err := v.heldPosts(ctx, tx, n.ID, n.Changed)
		if err != nil {
			return err
		}
		for i := range posts {
			n.Version = max(n.Version, posts[i].SentVersion+1) // beside a forged notice
		}
		if err := v.storeNotice(ctx, tx, &n); err != nil {
			return err
		}
		for _, target := range targets {
			if !slices.ContainsFunc(posts, func(p postRow) bool { return p.Target == target }) {
				posts = append(posts, *newPost(n.ID, target, n.Changed))
			}
		}
		changed = true
		return v.storeBehind(ctx, tx, posts, n.Changed)
	})
	if err != nil {
		return false, v.failed("keep a notice", err)
	}
	return changed, nil
}

// SetVerdict stores what somebody said of an incident and has its receivers told. It returns false if there is no such incident, or something was said of it
// at that time or later, and ErrForged if the notice is not ours.
func (v *Vault) SetVerdict(ctx context.Context, id [16]byte, said NoticeVerdict) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	changed := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		changed = false
		notice, forged, err := v.heldNotice(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case forged != nil:
			return forged
		case notice == nil || microsOrZero(notice.Verdict.At) >= said.At.UnixMicro():
			return nil
		}
		posts, err := v.heldPosts(ctx, tx, id, said.At)
		if err != nil {
			return err
		}
		notice.Verdict = said
		notice.Version++
		if err := v.storeNotice(ctx, tx, notice); err != nil {
			return err
		}
		changed = true
		return v.storeBehind(ctx, tx, posts, said.At)
	})
	if err != nil {
		return false, v.failed("keep what was said of an incident", err)
	}
	return changed, nil
}

// CountNotices counts the incidents of a span of the events' time, to excluded, by tenant, severity, status and whether they were summarised. What is not ours is
// not counted.
func (v *Vault) CountNotices(ctx context.Context, from, to time.Time) ([]NoticeCount, error) {
	counts := map[NoticeCount]int{} // by one without a count
	err := v.eachNotice(ctx, func(n *Notice) bool {
		counts[NoticeCount{Tenant: n.Tenant, Severity: n.Severity, Status: n.Status, Summarised: n.Summarised}]++
		return true
	}, noticesWithin, from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return nil, v.failed("count incidents", err)
	}
	list := make([]NoticeCount, 0, len(counts))
	for c, n := range counts {
		c.Count = n
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b NoticeCount) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), cmp.Compare(b.Severity, a.Severity), strings.Compare(a.Status, b.Status),
			cmp.Compare(integer(a.Summarised), integer(b.Summarised)))
	})
	return list, nil
}

// DeleteNotices deletes notices that did not change since a time and of which everybody was told, and returns how many.
func (v *Vault) DeleteNotices(ctx context.Context, before time.Time) (int64, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var deleted int64
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, v.db.query(oldPosts), before.UnixMicro()); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, v.db.query(oldNotices), before.UnixMicro())
		if err != nil {
			return err
		}
		deleted, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, v.failed("delete old notices", err)
	}
	return deleted, nil
}
