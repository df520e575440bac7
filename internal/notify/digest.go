package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/slack-go/slack"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// digest is the summary of a day, by the events' time.
type digest struct {
	Day         time.Time     `json:"day"`
	Tenants     []tenantCount `json:"tenants,omitempty"`
	Checkpoints []Checkpoint  `json:"checkpoints,omitempty"`
}

// tenantCount is how many incidents a tenant had. Withdrawn ones are in no other number.
type tenantCount struct {
	Tenant     string `json:"tenant"`
	Critical   int    `json:"critical"`
	High       int    `json:"high"`
	Medium     int    `json:"medium"`
	Low        int    `json:"low"`
	Withdrawn  int    `json:"withdrawn"`
	Summarised int    `json:"summarised"` // of those above: not sent by themselves
}

const (
	day = 24 * time.Hour
	// digestDays bounds how many days are summarised that nobody was there to summarise.
	digestDays = 7
	// maxDigestTenants and maxDigestLogs keep a digest within Slack's limit of blocks, whatever their names are.
	maxDigestTenants = 20
	maxDigestLogs    = 60
)

// digestID is the same for everybody, so that a day has one digest whoever makes it.
func digestID(day time.Time) uuid.UUID {
	return uuid.UUID(events.HashedUUID([]byte("agentaudit digest " + day.UTC().Format(time.DateOnly))))
}

// digests has each day summarised once it is over, until ctx ends.
func (n *Notifier) digests(ctx context.Context, part int) {
	if n.slack == nil || n.cfg.Slack.DigestAt < 0 {
		return
	}
	wait := newBackoff()
	for ctx.Err() == nil {
		now := time.Now().UTC()
		// The last day whose digest is due.
		due := now.Add(-n.cfg.Slack.DigestAt).Truncate(day).Add(-day)
		next := due.Add(2*day + n.cfg.Slack.DigestAt)
		if err := n.digestUpTo(ctx, due, part); err == nil {
			wait.Reset()
			pause(ctx, nil, next.Sub(now))
		} else if ctx.Err() == nil {
			n.deps.Log.Warn("the summary of a day cannot be made, trying again", "error", err)
			pause(ctx, nil, wait.NextBackOff())
		}
	}
}

// digestUpTo makes the digests that are missing up to a day. The first time ever it makes none: nothing is known of the days before.
func (n *Notifier) digestUpTo(ctx context.Context, due time.Time, part int) error {
	last, ok, err := n.deps.Vault.LatestNotice(ctx, vault.NoticeDigest)
	if err != nil {
		return err
	}
	if !ok {
		return n.keepDigest(ctx, &digest{Day: time.Now().UTC().Truncate(day).Add(-day)}, part, nil)
	}
	from := last.At.Add(day)
	if earliest := due.Add(-(digestDays - 1) * day); from.Before(earliest) {
		from = earliest
	}
	for ; !from.After(due); from = from.Add(day) {
		d, err := n.summarise(ctx, from)
		if err == nil {
			err = n.keepDigest(ctx, d, part, []string{slackTarget(n.cfg.Slack.Channel)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Notifier) keepDigest(ctx context.Context, d *digest, part int, targets []string) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write the digest: %w", err)
	}
	_, err = n.deps.Vault.KeepNotice(ctx, vault.Notice{
		ID: digestID(d.Day), Kind: vault.NoticeDigest, Part: part, Revision: 1, Severity: uint8(anomaly.Low), Status: string(anomaly.Final), At: d.Day,
		Changed: time.Now(), Body: string(body),
	}, targets)
	if err == nil {
		n.wake()
	}
	return err
}

// summarise counts a day's incidents as they are now.
func (n *Notifier) summarise(ctx context.Context, from time.Time) (*digest, error) {
	counts, err := n.deps.Vault.CountNotices(ctx, from, from.Add(day))
	if err != nil {
		return nil, err
	}
	d := &digest{Day: from}
	for _, c := range counts {
		if len(d.Tenants) == 0 || d.Tenants[len(d.Tenants)-1].Tenant != c.Tenant {
			d.Tenants = append(d.Tenants, tenantCount{Tenant: c.Tenant})
		}
		d.Tenants[len(d.Tenants)-1].add(c)
	}
	if n.deps.Checkpoints != nil {
		if d.Checkpoints, err = n.deps.Checkpoints(ctx); err != nil {
			return nil, fmt.Errorf("read the checkpoints for the digest: %w", err)
		}
	}
	return d, nil
}

func (t *tenantCount) add(c vault.NoticeCount) {
	switch {
	case c.Status == string(anomaly.Withdrawn):
		t.Withdrawn += c.Count
		return
	case c.Severity == uint8(anomaly.Critical):
		t.Critical += c.Count
	case c.Severity == uint8(anomaly.High):
		t.High += c.Count
	case c.Severity == uint8(anomaly.Medium):
		t.Medium += c.Count
	default:
		t.Low += c.Count
	}
	if c.Summarised {
		t.Summarised += c.Count
	}
}

func (t *tenantCount) String() string {
	text := fmt.Sprintf("%d critical, %d high, %d medium, %d low", t.Critical, t.High, t.Medium, t.Low)
	if t.Summarised > 0 {
		text += fmt.Sprintf("; %d of them beyond the day's budget and told only here", t.Summarised)
	}
	if t.Withdrawn > 0 {
		text += fmt.Sprintf("; %d withdrawn", t.Withdrawn)
	}
	return text
}

// message shows a digest.
func (d *digest) message() message {
	title := "Alerts of " + d.Day.UTC().Format(time.DateOnly) + " (UTC)"
	m := message{
		text: title,
		metadata: slack.SlackMetadata{EventType: digestEvent, EventPayload: map[string]any{
			idKey: digestID(d.Day).String(), revisionKey: 1,
		}},
		blocks: []slack.Block{slack.NewHeaderBlock(plainText(title))},
	}
	if len(d.Tenants) == 0 {
		m.blocks = append(m.blocks, section("No incidents."))
	}
	for i := range d.Tenants[:min(len(d.Tenants), maxDigestTenants)] {
		m.blocks = append(m.blocks, section(code(d.Tenants[i].Tenant, maxName)+": "+d.Tenants[i].String()))
	}
	if more := len(d.Tenants) - maxDigestTenants; more > 0 {
		rest := tenantCount{}
		for _, t := range d.Tenants[maxDigestTenants:] {
			rest.Critical, rest.High, rest.Medium, rest.Low = rest.Critical+t.Critical, rest.High+t.High, rest.Medium+t.Medium, rest.Low+t.Low
			rest.Withdrawn, rest.Summarised = rest.Withdrawn+t.Withdrawn, rest.Summarised+t.Summarised
		}
		m.blocks = append(m.blocks, section("and "+strconv.Itoa(more)+" more tenants: "+rest.String()))
	}
	logs := d.Checkpoints[:min(len(d.Checkpoints), maxDigestLogs)]
	rows := make([]string, len(logs))
	for i, c := range logs {
		rows[i] = fmt.Sprintf("%s  size %d  root %s  %s UTC\n", entities.Replace(clean(c.Log, 60)), c.Size, entities.Replace(clean(c.Root, 64)), c.At.UTC().Format(dayTime))
	}
	if len(rows) > 0 {
		m.blocks = append(m.blocks, section("The logs' checkpoints, to compare with what you are shown later:"))
		m.blocks = append(m.blocks, table(rows)...)
	}
	if more := len(d.Checkpoints) - len(logs); more > 0 {
		m.blocks = append(m.blocks, section("and "+strconv.Itoa(more)+" more logs"))
	}
	return m
}
