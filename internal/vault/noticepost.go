package vault

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	postColumns = `SELECT notice, target, pending, waiting_micros, not_before_micros, sent_version, sent_revision, channel, ts, posting_micros, told_version, told,
		telling_micros, mac FROM notice_posts`
	upsertPost = `INSERT INTO notice_posts (notice, target, pending, waiting_micros, not_before_micros, sent_version, sent_revision, channel, ts, posting_micros,
			told_version, told, telling_micros, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (notice, target) DO UPDATE SET pending = excluded.pending, waiting_micros = excluded.waiting_micros, not_before_micros = excluded.not_before_micros,
			sent_version = excluded.sent_version, sent_revision = excluded.sent_revision, channel = excluded.channel, ts = excluded.ts,
			posting_micros = excluded.posting_micros, told_version = excluded.told_version, told = excluded.told, telling_micros = excluded.telling_micros,
			mac = excluded.mac`
	postsOf = postColumns + ` WHERE notice = ? ORDER BY target`
	onePost = postColumns + ` WHERE notice = ? AND target = ?`
	// nextPost prefers what the receiver knows nothing of, then what has changed, then details.
	nextPost = postColumns + ` p WHERE p.target = ? AND p.pending > 0 AND p.not_before_micros <= ? AND EXISTS (SELECT 1 FROM notices n WHERE n.id = p.notice AND n.part = ?)
		ORDER BY p.pending DESC, p.waiting_micros, p.notice LIMIT 1`
	behindPosts   = postColumns + ` p WHERE p.target = ? AND p.pending > 0 AND EXISTS (SELECT 1 FROM notices n WHERE n.id = p.notice AND n.part = ?)`
	selectWaiting = `SELECT count(*), coalesce(min(waiting_micros), 0) FROM notice_posts WHERE target = ? AND pending >= 2`
	selectTargets = `SELECT DISTINCT p.target FROM notice_posts p JOIN notices n ON n.id = p.notice WHERE p.pending > 0 AND n.part = ? ORDER BY p.target`
	selectUnsent  = `SELECT ` + noticeColumns + ` FROM notice_posts p JOIN notices n ON n.id = p.notice
		WHERE p.target = ? AND n.part = ? AND p.pending = 3 ORDER BY p.waiting_micros, p.notice LIMIT ?`
)

// How far behind a receiver is.
const (
	pendingNothing = iota
	pendingDetails // all but the details was told
	pendingNewer   // an older version was told
	pendingAll     // nothing was told
)

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

// postRow is a row of notice_posts, without its notice. It has a MAC: a receiver that was told already hears nothing, and a message is changed where the row says
// that it is.
type postRow struct {
	NoticePost
	pending int64
}

func (p *postRow) describe(t *rowText) {
	t.beginNamed("notice_posts", uuid.UUID(p.Notice.ID).String()+" "+shownName(p.Target))
	t.bytes(p.Notice.ID[:])
	t.string(p.Target)
	t.number(p.pending)
	t.time(p.Waiting)
	t.time(p.NotBefore)
	t.number(p.SentVersion)
	t.number(int64(p.SentRevision))
	t.string(p.Channel)
	t.string(p.TS)
	t.time(p.Posting)
	t.number(p.ToldVersion)
	t.string(p.Told)
	t.time(p.Telling)
}

func scanPost(rows scanner, p *postRow) error {
	return rows.Scan(fixed(p.Notice.ID[:]), &p.Target, &p.pending, optionalTime{&p.Waiting}, optionalTime{&p.NotBefore}, &p.SentVersion, &p.SentRevision, &p.Channel, &p.TS,
		optionalTime{&p.Posting}, &p.ToldVersion, &p.Told, optionalTime{&p.Telling})
}

func (v *Vault) storePost(ctx context.Context, tx *sql.Tx, p *postRow) error {
	_, err := tx.ExecContext(ctx, v.db.query(upsertPost), p.Notice.ID[:], p.Target, p.pending, microsOrZero(p.Waiting), microsOrZero(p.NotBefore), p.SentVersion,
		int64(p.SentRevision), p.Channel, p.TS, microsOrZero(p.Posting), p.ToldVersion, p.Told, microsOrZero(p.Telling), v.mac(p))
	return err
}

// newPost is that of a receiver that was told nothing yet.
func newPost(notice [16]byte, target string, waiting time.Time) *postRow {
	return &postRow{NoticePost: NoticePost{Notice: Notice{ID: notice}, Target: target, Waiting: waiting}, pending: pendingAll}
}

// behind says how far a receiver is behind with a version of the notice.
func (p *postRow) behind(version int64) int64 {
	switch {
	case p.SentVersion == 0:
		return pendingAll
	case p.SentVersion < version:
		return pendingNewer
	case p.ToldVersion < version:
		return pendingDetails
	}
	return pendingNothing
}

// heldPosts returns how far the receivers of a notice are, for who holds the notice's row. Of whom a row is not ours nothing is known: he is told anew.
func (v *Vault) heldPosts(ctx context.Context, tx *sql.Tx, notice [16]byte, now time.Time) ([]postRow, error) {
	posts, forged, err := sorted(ctx, v, tx, scanPost, postsOf, notice[:])
	for i := range forged {
		posts = append(posts, *newPost(notice, forged[i].row.Target, now))
	}
	return posts, err
}

// storeBehind has every receiver of a notice told of its new version. Who was waiting already keeps its place.
func (v *Vault) storeBehind(ctx context.Context, tx *sql.Tx, posts []postRow, now time.Time) error {
	for i := range posts {
		p := &posts[i]
		if p.pending < pendingNewer {
			p.pending, p.Waiting = pendingNewer, now
		}
		p.NotBefore = time.Time{}
		if err := v.storePost(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// NextPost returns what a receiver is to be told next of the notices of one partition, and false if there is nothing: first what it knows nothing of, then
// what has changed, then details, each in the order in which it became behind. What is not ours is told nobody, and keeps nobody waiting.
func (v *Vault) NextPost(ctx context.Context, target string, part int, now time.Time) (NoticePost, bool, error) {
	for {
		post, forged, err := v.nextPost(ctx, target, part, now)
		if err == nil && forged {
			err = v.mendPost(ctx, post.Notice.ID, target, now)
		}
		switch {
		case err != nil:
			return NoticePost{}, false, v.failed("read what a receiver is to be told next", err)
		case forged:
			continue
		case post == nil:
			return NoticePost{}, false, nil
		}
		return *post, true, nil
	}
}

// nextPost returns nil if there is nothing, and says whether the post or its notice is not ours.
func (v *Vault) nextPost(ctx context.Context, target string, part int, now time.Time) (*NoticePost, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, forged, err := sorted(ctx, v, v.db.read, scanPost, nextPost, target, now.UnixMicro(), part)
	switch {
	case err != nil:
		return nil, false, err
	case len(forged) > 0:
		return &forged[0].row.NoticePost, true, nil
	case len(list) == 0:
		return nil, false, nil
	}
	post := &list[0].NoticePost
	notices, forgedNotices, err := sorted(ctx, v, v.db.read, scanAlert, selectNotice, post.Notice.ID[:])
	if err != nil || len(notices)+len(forgedNotices) == 0 { // the second: it was deleted in this moment
		return nil, false, err
	}
	if len(forgedNotices) > 0 {
		return post, true, nil
	}
	post.Notice = notices[0]
	return post, false, nil
}

// mendPost replaces how far a receiver is with a notice where that, or the notice, is not ours: of one that is ours he is told anew, of another one nothing.
func (v *Vault) mendPost(ctx context.Context, id [16]byte, target string, now time.Time) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		notice, forgedNotice, err := v.heldNotice(ctx, tx, id)
		if err != nil || notice == nil {
			return err
		}
		list, forged, err := sorted(ctx, v, tx, scanPost, onePost, id[:], target)
		switch {
		case err != nil || len(list)+len(forged) == 0:
			return err
		case forgedNotice != nil:
			settled := newPost(id, target, now)
			if len(list) > 0 {
				settled = &list[0]
			}
			settled.pending = pendingNothing
			return v.storePost(ctx, tx, settled)
		case len(forged) > 0:
			return v.storePost(ctx, tx, newPost(id, target, now))
		}
		return nil // somebody else was faster
	})
}

// MendPosts looks at how far every receiver is with every notice, and has those told anew of whom somebody without the keyring says that they were. It returns how many.
func (v *Vault) MendPosts(ctx context.Context, now time.Time) (int, error) {
	bounded, cancel := v.bounded(ctx)
	_, forged, err := sorted(bounded, v, v.db.read, scanPost, postColumns)
	cancel()
	for i := 0; err == nil && i < len(forged); i++ {
		err = v.mendPost(ctx, forged[i].row.Notice.ID, forged[i].row.Target, now)
	}
	if err != nil {
		return 0, v.failed("look for what somebody says that receivers were told", err)
	}
	return len(forged), nil
}

// Posts returns how far each receiver of a notice is. ErrForged if that, or the notice, is not ours.
func (v *Vault) Posts(ctx context.Context, id [16]byte) ([]NoticePost, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	notices, err := genuine(ctx, v, v.db.read, scanAlert, selectNotice, id[:])
	var rows []postRow
	if err == nil && len(notices) > 0 {
		rows, err = genuine(ctx, v, v.db.read, scanPost, postsOf, id[:])
	}
	if err != nil {
		return nil, v.failed("read how far the receivers of a notice are", err)
	}
	posts := make([]NoticePost, len(rows))
	for i := range rows {
		posts[i] = rows[i].NoticePost
		posts[i].Notice = notices[0]
	}
	return posts, nil
}

// KeepPost stores how far a receiver is. Whether it is behind is decided by the notice as it is now, which may have changed since it was read.
func (v *Vault) KeepPost(ctx context.Context, p NoticePost) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		notice, forged, err := v.heldNotice(ctx, tx, p.Notice.ID)
		if err != nil || notice == nil {
			return err
		}
		now, _, err := sorted(ctx, v, tx, scanPost, onePost, p.Notice.ID[:], p.Target)
		if err != nil {
			return err
		}
		row := postRow{NoticePost: p}
		if len(now) > 0 {
			row.Waiting = now[0].Waiting
		}
		if forged == nil {
			row.pending = row.behind(notice.Version)
		} // else there is nothing to be told
		return v.storePost(ctx, tx, &row)
	})
	if err != nil {
		return v.failed("keep how far a receiver is", err)
	}
	return nil
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

// Unsent returns notices that a receiver was told nothing of, limit at most, in order. Those that are not ours are settled: nobody is told of them.
func (v *Vault) Unsent(ctx context.Context, target string, part, limit int) ([]Notice, error) {
	for {
		list, forged, err := v.unsent(ctx, target, part, limit)
		for i := 0; err == nil && i < len(forged); i++ {
			err = v.mendPost(ctx, forged[i].row.ID, target, forged[i].row.Changed)
		}
		if err != nil {
			return nil, v.failed("read what a receiver was not told", err)
		}
		if len(list) > 0 || len(forged) == 0 {
			return list, nil
		}
	}
}

func (v *Vault) unsent(ctx context.Context, target string, part, limit int) ([]Notice, []forgedRow[Notice], error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	return sorted(ctx, v, v.db.read, scanAlert, selectUnsent, target, part, limit)
}

// MovePost has another receiver told of a notice that one was told nothing of. It keeps its place in the queue, unless the other one knows of the notice by itself.
func (v *Vault) MovePost(ctx context.Context, id [16]byte, from, to string) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		notice, forged, err := v.heldNotice(ctx, tx, id)
		if err != nil || notice == nil || forged != nil {
			return err
		}
		posts, err := v.heldPosts(ctx, tx, id, notice.Changed)
		if err != nil {
			return err
		}
		there := slices.ContainsFunc(posts, func(p postRow) bool { return p.Target == to })
		for i := range posts {
			p := &posts[i]
			if p.Target != from {
				continue
			}
			if p.pending == pendingAll && !there {
				if err := v.storePost(ctx, tx, newPost(id, to, p.Waiting)); err != nil {
					return err
				}
			}
			p.pending = pendingNothing
			if err := v.storePost(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
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
	var settled int64
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		list, forged, err := sorted(ctx, v, tx, scanPost, behindPosts+v.db.forUpdate(), target, part)
		if err != nil {
			return err
		}
		for i := range forged {
			list = append(list, *newPost(forged[i].row.Notice.ID, target, time.Time{}))
		}
		for i := range list {
			list[i].pending = pendingNothing
			if err := v.storePost(ctx, tx, &list[i]); err != nil {
				return err
			}
		}
		settled = int64(len(list))
		return nil
	})
	if err != nil {
		return 0, v.failed("settle what a receiver was to be told", err)
	}
	return settled, nil
}
