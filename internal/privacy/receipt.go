package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	// countWithin is how long a receipt waits for what has to be counted in ClickHouse. What takes longer is counted afterwards.
	countWithin = 3 * time.Second
	// countAgain is when that is tried again.
	countAgain = 30 * time.Second
)

// receipt says what became of the person's data, place by place.
func (w *Worker) receipt(ctx context.Context, request *vault.Request, erased vault.Erased, place systemlog.Place) (*gdpr.Receipt, error) {
	kept, err := w.kafkaKeeps(ctx, w.cfg.EventsTopic)
	if err != nil {
		return nil, err
	}
	at := erased.At
	until := func(d time.Duration) string { return at.Add(d).Format(time.RFC3339) }
	r := &gdpr.Receipt{
		RequestID: gdpr.SubjectID(request.ID).String(), Status: string(gdpr.StateCompleted), At: at.Format(time.RFC3339Nano),
		SubjectsDestroyed: 1, KeysDestroyed: 1, Subjects: []string{erased.Subject.String()}, KeyIDs: []string{erased.KeyID.String()},
		Log: place.Log, Seq: place.Seq,
		Stores: []gdpr.StoreStatus{
			{Store: "vault", Status: gdpr.StoreErased},
			{Store: "events", Status: gdpr.StoreErased, Note: "entries stay, under a pseudonym that leads nowhere"},
			{Store: storeContent, Status: gdpr.StorePending},
			{Store: "rejected records", Status: gdpr.StoreWaiting, Until: until(time.Duration(w.cfg.RejectedKeepDays+1) * 24 * time.Hour), Note: "what could not be read may be anybody's"},
			{Store: "baselines", Status: gdpr.StoreErased, Note: "what the detector has learned of the person; what it taught the baselines of agents and tenants stays, as numbers that nobody can tell apart"},
			{Store: "alerts", Status: gdpr.StoreErased, Note: "entries, and messages that were sent, stay, under a pseudonym that leads nowhere"},
			{Store: "kafka", Status: gdpr.StoreWaiting, Until: until(kept + segmentAge)},
			w.backups(at, "backups of the vault", ""),
		},
	}
	if w.deps.Vault.KeepsDeleted() {
		r.Stores[0] = w.backups(at, "vault", "PostgreSQL keeps dead rows and its journal; ")
	}
	exports := gdpr.StoreStatus{Store: "exports", Status: gdpr.StoreNothing}
	if erased.Exports > 0 {
		exports = gdpr.StoreStatus{Store: "exports", Status: gdpr.StoreErased, Note: "what opened our archives is destroyed, and their files go within seconds; copies that were handed out are not ours"}
	}
	r.Stores = append(r.Stores, exports)
	if w.cfg.RequestsTopic != "" {
		kept, err := w.kafkaKeeps(ctx, w.cfg.RequestsTopic)
		if err != nil {
			return nil, err
		}
		r.Stores = append(r.Stores, gdpr.StoreStatus{Store: "kafka, " + w.cfg.RequestsTopic, Status: gdpr.StoreWaiting, Until: until(kept + segmentAge), Note: "requests that came that way name people"})
	}
	left, err := w.deps.Vault.Traces(ctx, erased.Subject, erased.KeyID)
	if err != nil {
		return nil, err
	}
	r.Residual = &gdpr.Residual{VaultRows: left}
	counting, cancel := context.WithTimeout(ctx, w.countWithin)
	defer cancel()
	if err := w.count(counting, r, erased); err != nil {
		w.deps.Log.Warn("the entries of an erasure are not counted yet", "request", r.RequestID, "error", err)
	}
	return r, nil
}

// backups says of copies of what was destroyed in the vault until when they open.
func (w *Worker) backups(at time.Time, store, what string) gdpr.StoreStatus {
	if w.cfg.BackupsDie == 0 {
		return gdpr.StoreStatus{Store: store, Status: gdpr.StoreWaiting, Note: what + "they open until the vault's keys are rotated, for which no date is set"}
	}
	return gdpr.StoreStatus{Store: store, Status: gdpr.StoreWaiting, Until: at.Add(w.cfg.BackupsDie).Format(time.RFC3339), Note: what + "they open until the vault's keys are rotated"}
}

// storeContent is the place that is pending until its entries are counted.
const storeContent = "content"

// count fills in what ClickHouse knows: how many entries the erasure has made unreadable, and whether anything came after it.
func (w *Worker) count(ctx context.Context, r *gdpr.Receipt, erased vault.Erased) error {
	use, err := w.deps.Store.CountKey(ctx, erased.KeyID)
	if err != nil {
		return err
	}
	since, err := w.deps.Store.CountSealedSince(ctx, erased.Subject, erased.At.Add(w.cfg.Lease))
	if err != nil {
		return err
	}
	r.EventsUnreadable, r.EventsOfOthers, r.Residual.SealedSince = &use.Entries, &use.Shared, &since
	for i := range r.Stores {
		if r.Stores[i].Store == storeContent {
			r.Stores[i].Status = gdpr.StoreUnreadable
		}
	}
	return nil
}

func (w *Worker) signed(r *gdpr.Receipt) (string, error) {
	if err := w.deps.Author.SignReceipt(r); err != nil {
		return "", fmt.Errorf("sign the receipt: %w", err)
	}
	text, err := json.Marshal(r)
	return string(text), err
}

// completeReceipts counts what receipts were given without.
func (w *Worker) completeReceipts(ctx context.Context) error {
	list, err := w.deps.Vault.UnfinishedResults(ctx, time.Now())
	if err != nil {
		return err
	}
	for i := range list {
		if err := w.completeReceipt(ctx, &list[i]); err != nil {
			w.deps.Log.Warn("the entries of an erasure cannot be counted, trying again", "request", gdpr.SubjectID(list[i].ID), "error", err)
			if err := w.deps.Vault.DeferResult(ctx, list[i].ID, time.Now().Add(w.countAgain)); err != nil {
				return err
			}
		}
	}
	return nil
}

// errForeignReceipt: what the vault has as our receipt is not what we have signed.
var errForeignReceipt = errors.New("the stored receipt was changed since it was signed")

func (w *Worker) completeReceipt(ctx context.Context, request *vault.Request) error {
	var r gdpr.Receipt
	if err := json.Unmarshal([]byte(request.Result), &r); err != nil {
		return fmt.Errorf("the stored receipt cannot be read: %w", err)
	}
	if r.Author != w.deps.Author.Name() {
		return nil // it is its author's to complete
	}
	// Whoever can write to the vault could have us sign anything otherwise.
	if !w.deps.Author.HasSigned(&r) || r.RequestID != gdpr.SubjectID(request.ID).String() {
		return errForeignReceipt
	}
	erased, err := erasedOf(&r)
	if err != nil {
		return fmt.Errorf("the stored receipt cannot be read: %w", err)
	}
	if err := w.count(ctx, &r, erased); err != nil {
		return err
	}
	text, err := w.signed(&r)
	if err != nil {
		return err
	}
	return w.deps.Vault.AmendResult(ctx, request.ID, request.Result, text)
}

// erasedOf reads from a receipt what it is about.
func erasedOf(r *gdpr.Receipt) (vault.Erased, error) {
	if len(r.KeyIDs) != 1 || len(r.Subjects) != 1 || r.Residual == nil {
		return vault.Erased{}, errors.New("it does not name one subject and one key")
	}
	key, err := uuid.Parse(r.KeyIDs[0])
	if err != nil {
		return vault.Erased{}, err
	}
	subject, err := uuid.Parse(r.Subjects[0])
	if err != nil {
		return vault.Erased{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, r.At)
	return vault.Erased{Subject: gdpr.SubjectID(subject), KeyID: gdpr.KeyID(key), At: at}, err
}
