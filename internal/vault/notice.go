package vault

import (
	"context"
	"database/sql"
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

// NoticePost is how far one receiver is with one notice.
type NoticePost struct {
	Notice Notice
	Target string
	// Waiting is since when the receiver is behind.
	Waiting   time.Time
	NotBefore time.Time // zero: it was not refused
	// SentVersion and SentRevision are what the receiver was told; 0: nothing.
	SentVersion  int64
	SentRevision uint32
	Channel, TS  string // where the message is; empty: nowhere yet
	// Posting is when a message was begun of which nobody knows whether it is there; zero: there is none such.
	Posting time.Time
	// ToldVersion, Told and Telling are the same for the details in the thread. Told is what the thread says last, in the words of the caller.
	ToldVersion int64
	Told        string
	Telling     time.Time
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
		n.verdict, n.verdict_by, n.verdict_until_micros, n.verdict_micros`
	selectNotice = `SELECT ` + noticeColumns + ` FROM notices n WHERE n.id = ?`
	upsertNotice = `INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET part = excluded.part, revision = excluded.revision, version = notices.version + 1, severity = excluded.severity,
			status = excluded.status, summarised = excluded.summarised, tenant = excluded.tenant, at_micros = excluded.at_micros,
			changed_micros = excluded.changed_micros, body = excluded.body
		WHERE notices.revision < excluded.revision`
	// markBehind has every receiver of a notice told of its new version. Who was waiting already keeps its place.
	markBehind = `UPDATE notice_posts SET waiting_micros = CASE WHEN pending >= 2 THEN waiting_micros ELSE ? END,
		pending = CASE WHEN pending >= 2 THEN pending ELSE 2 END, not_before_micros = 0 WHERE notice = ?`
	insertPost = `INSERT INTO notice_posts (notice, target, pending, waiting_micros) VALUES (?, ?, 3, ?) ON CONFLICT (notice, target) DO NOTHING`
	postFrom   = `SELECT p.target, p.waiting_micros, p.not_before_micros, p.sent_version, p.sent_revision, p.channel, p.ts, p.posting_micros,
		p.told_version, p.told, p.telling_micros, ` + noticeColumns + ` FROM notice_posts p JOIN notices n ON n.id = p.notice`
	// nextPost prefers what the receiver knows nothing of, then what has changed, then details.
	nextPost = postFrom + ` WHERE p.target = ? AND p.pending > 0 AND n.part = ? AND p.not_before_micros <= ?
		ORDER BY p.pending DESC, p.waiting_micros, p.notice LIMIT 1`
	selectPosts = postFrom + ` WHERE p.notice = ? ORDER BY p.target`
	updatePost  = `UPDATE notice_posts SET not_before_micros = ?, sent_version = ?, sent_revision = ?, channel = ?, ts = ?, posting_micros = ?,
		told_version = ?, told = ?, telling_micros = ?,
		pending = (SELECT CASE WHEN ? = 0 THEN 3 WHEN ? < n.version THEN 2 WHEN ? < n.version THEN 1 ELSE 0 END FROM notices n WHERE n.id = notice_posts.notice)
		WHERE notice = ? AND target = ?`
	setVerdict = `UPDATE notices SET verdict = ?, verdict_by = ?, verdict_until_micros = ?, verdict_micros = ?, version = version + 1
		WHERE id = ? AND verdict_micros < ?`
	selectWaiting = `SELECT count(*), coalesce(min(waiting_micros), 0) FROM notice_posts WHERE target = ? AND pending >= 2`
	selectTargets = `SELECT DISTINCT p.target FROM notice_posts p JOIN notices n ON n.id = p.notice WHERE p.pending > 0 AND n.part = ? ORDER BY p.target`
	selectUnsent  = `SELECT ` + noticeColumns + ` FROM notice_posts p JOIN notices n ON n.id = p.notice
		WHERE p.target = ? AND n.part = ? AND p.pending = 3 ORDER BY p.waiting_micros, p.notice LIMIT ?`
	// movePost keeps the place in the queue, unless the new receiver knows of the notice by itself.
	movePost = `INSERT INTO notice_posts (notice, target, pending, waiting_micros)
		SELECT notice, ?, 3, waiting_micros FROM notice_posts WHERE notice = ? AND target = ? AND pending = 3 ON CONFLICT (notice, target) DO NOTHING`
	settlePost   = `UPDATE notice_posts SET pending = 0 WHERE notice = ? AND target = ?`
	settlePosts  = `UPDATE notice_posts SET pending = 0 WHERE target = ? AND pending > 0 AND notice IN (SELECT id FROM notices WHERE part = ?)`
	countNotices = `SELECT tenant, severity, status, summarised, count(*) FROM notices WHERE kind = 'incident' AND at_micros >= ? AND at_micros < ?
		GROUP BY tenant, severity, status, summarised ORDER BY tenant, severity DESC, status, summarised`
	latestNotice = `SELECT ` + noticeColumns + ` FROM notices n WHERE n.kind = ? ORDER BY n.at_micros DESC, n.id LIMIT 1`
	// Both leave alone what somebody has not been told yet.
	oldPosts = `DELETE FROM notice_posts WHERE notice IN (SELECT id FROM notices n WHERE n.changed_micros < ?
		AND NOT EXISTS (SELECT 1 FROM notice_posts p WHERE p.notice = n.id AND p.pending > 0))`
	oldNotices = `DELETE FROM notices WHERE changed_micros < ? AND NOT EXISTS (SELECT 1 FROM notice_posts p WHERE p.notice = notices.id)`
)

func noticeFields(n *Notice) []any {
	return []any{fixed(n.ID[:]), &n.Kind, &n.Part, &n.Revision, &n.Version, &n.Severity, &n.Status, &n.Summarised, &n.Tenant, optionalTime{&n.At},
		optionalTime{&n.Changed}, &n.Body, &n.Verdict.Verdict, &n.Verdict.By, optionalTime{&n.Verdict.Until}, optionalTime{&n.Verdict.At}}
}

func scanAlert(rows *sql.Rows, n *Notice) error { return rows.Scan(noticeFields(n)...) }

func scanPost(rows *sql.Rows, p *NoticePost) error {
	return rows.Scan(append([]any{&p.Target, optionalTime{&p.Waiting}, optionalTime{&p.NotBefore}, &p.SentVersion, &p.SentRevision, &p.Channel, &p.TS,
		optionalTime{&p.Posting}, &p.ToldVersion, &p.Told, optionalTime{&p.Telling}}, noticeFields(&p.Notice)...)...)
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

func optionalMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// integer is how a boolean stands in a column of integers.
func integer(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// Notice returns a notice, and false if there is none.
func (v *Vault) Notice(ctx context.Context, id [16]byte) (Notice, bool, error) {
	return v.oneNotice(ctx, selectNotice, id[:])
}

// LatestNotice returns the notice of a kind whose time is the latest, and false if there is none.
func (v *Vault) LatestNotice(ctx context.Context, kind NoticeKind) (Notice, bool, error) {
	return v.oneNotice(ctx, latestNotice, kind)
}

func (v *Vault) oneNotice(ctx context.Context, query string, args ...any) (Notice, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanAlert, v.db.query(query), args...)
	if err != nil {
		return Notice{}, false, v.failed("read a notice", err)
	}
	if len(list) == 0 {
		return Notice{}, false, nil
	}
	return list[0], true, nil
}

// KeepNotice stores a notice, or a later revision of it, and has its receivers told: those that it has, and targets. It returns false, and changes nothing,
// if this revision or a later one is there already, so a call whose outcome is unknown can be repeated.
func (v *Vault) KeepNotice(ctx context.Context, n Notice, targets []string) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	changed := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		changed = false
		result, err := tx.ExecContext(ctx, v.db.query(upsertNotice), n.ID[:], n.Kind, n.Part, int64(n.Revision), int64(n.Severity), n.Status,
			integer(n.Summarised), n.Tenant, n.At.UnixMicro(), n.Changed.UnixMicro(), n.Body)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil || rows == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.query(markBehind), n.Changed.UnixMicro(), n.ID[:]); err != nil {
			return err
		}
		for _, target := range targets {
			if _, err := tx.ExecContext(ctx, v.db.query(insertPost), n.ID[:], target, n.Changed.UnixMicro()); err != nil {
				return err
			}
		}
		changed = true
		return nil
	})
	if err != nil {
		return false, v.failed("keep a notice", err)
	}
	return changed, nil
}

// NextPost returns what a receiver is to be told next of the notices of one partition, and false if there is nothing: first what it knows nothing of, then
// what has changed, then details, each in the order in which it became behind.
func (v *Vault) NextPost(ctx context.Context, target string, part int, now time.Time) (NoticePost, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanPost, v.db.query(nextPost), target, part, now.UnixMicro())
	if err != nil {
		return NoticePost{}, false, v.failed("read what a receiver is to be told next", err)
	}
	if len(list) == 0 {
		return NoticePost{}, false, nil
	}
	return list[0], true, nil
}

// Posts returns how far each receiver of a notice is.
func (v *Vault) Posts(ctx context.Context, id [16]byte) ([]NoticePost, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanPost, v.db.query(selectPosts), id[:])
	if err != nil {
		return nil, v.failed("read how far the receivers of a notice are", err)
	}
	return list, nil
}

// KeepPost stores how far a receiver is. Whether it is behind is decided by the notice as it is now, which may have changed since it was read.
func (v *Vault) KeepPost(ctx context.Context, p NoticePost) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	_, err := v.db.exec(ctx, updatePost, optionalMicros(p.NotBefore), p.SentVersion, int64(p.SentRevision), p.Channel, p.TS, optionalMicros(p.Posting),
		p.ToldVersion, p.Told, optionalMicros(p.Telling), p.SentVersion, p.SentVersion, p.ToldVersion, p.Notice.ID[:], p.Target)
	if err != nil {
		return v.failed("keep how far a receiver is", err)
	}
	return nil
}

// SetVerdict stores what somebody said of an incident and has its receivers told. It returns false if there is no such incident, or something was said of it
// at that time or later.
func (v *Vault) SetVerdict(ctx context.Context, id [16]byte, said NoticeVerdict) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	changed := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		changed = false
		result, err := tx.ExecContext(ctx, v.db.query(setVerdict), said.Verdict, said.By, optionalMicros(said.Until), said.At.UnixMicro(), id[:], said.At.UnixMicro())
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil || rows == 0 {
			return err
		}
		changed = true
		_, err = tx.ExecContext(ctx, v.db.query(markBehind), said.At.UnixMicro(), id[:])
		return err
	})
	if err != nil {
		return false, v.failed("keep what was said of an incident", err)
	}
	return changed, nil
}

// Waiting returns how many notices a receiver is behind with, details apart, and since when; the zero time if none.
func (v *Vault) Waiting(ctx context.Context, target string) (n int, since time.Time, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err = v.db.read.QueryRowContext(ctx, v.db.query(selectWaiting), target).Scan(&n, optionalTime{&since})
	if err != nil {
		return 0, time.Time{}, v.failed("count what a receiver is behind with", err)
	}
	return n, since, nil
}

// WaitingTargets returns the receivers that are behind with a notice of a partition.
func (v *Vault) WaitingTargets(ctx context.Context, part int) ([]string, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, func(rows *sql.Rows, target *string) error { return rows.Scan(target) }, v.db.query(selectTargets), part)
	if err != nil {
		return nil, v.failed("read which receivers are behind", err)
	}
	return list, nil
}

// Unsent returns notices that a receiver was told nothing of, limit at most, in order.
func (v *Vault) Unsent(ctx context.Context, target string, part, limit int) ([]Notice, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanAlert, v.db.query(selectUnsent), target, part, limit)
	if err != nil {
		return nil, v.failed("read what a receiver was not told", err)
	}
	return list, nil
}

// MovePost has another receiver told of a notice that one was told nothing of.
func (v *Vault) MovePost(ctx context.Context, id [16]byte, from, to string) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, v.db.query(movePost), to, id[:], from); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, v.db.query(settlePost), id[:], from)
		return err
	})
	if err != nil {
		return v.failed("move a notice to another receiver", err)
	}
	return nil
}

// SettlePosts has a receiver that is no more told nothing else of a partition's notices, and returns how many that are.
func (v *Vault) SettlePosts(ctx context.Context, target string, part int) (int64, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	n, err := v.db.exec(ctx, settlePosts, target, part)
	if err != nil {
		return 0, v.failed("settle what a receiver was to be told", err)
	}
	return n, nil
}

// CountNotices counts the incidents of a span of the events' time, to excluded, by tenant, severity, status and whether they were summarised.
func (v *Vault) CountNotices(ctx context.Context, from, to time.Time) ([]NoticeCount, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, func(rows *sql.Rows, c *NoticeCount) error {
		return rows.Scan(&c.Tenant, &c.Severity, &c.Status, &c.Summarised, &c.Count)
	}, v.db.query(countNotices), from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return nil, v.failed("count incidents", err)
	}
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
