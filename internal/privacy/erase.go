package privacy

import (
	"context"
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// typeErasure is the type of the entry that says whom an erasure has destroyed. A restored vault is brought up to date from these.
const typeErasure = "gdpr.erasure"

// erase carries out an erasure. Each step can be repeated: whatever was done before a crash is found as it is.
func (w *Worker) erase(ctx context.Context, request *vault.Request) error {
	erased, done, err := w.deps.Vault.Destroyed(ctx, request.ID)
	if err != nil {
		return err
	}
	if done {
		// No hold that was ordered since can refuse it any more. And a vault that was restored does not know whom the request is about.
		request.Subject = erased.Subject
	} else if erased, err = w.destroy(ctx, request); err != nil {
		return err
	}
	w.passed(stepDestroyed)
	// Until then a process may seal on with what it had in memory. What lands later is dead: its key is gone.
	if err := sleepUntil(ctx, erased.At.Add(w.cfg.Lease)); err != nil {
		return err
	}
	w.passed(stepForgotten)
	place, err := w.sayErased(ctx, request, erased)
	if err != nil {
		return err
	}
	w.passed(stepSaid)
	receipt, err := w.receipt(ctx, request, erased, place)
	if err != nil {
		return err
	}
	text, err := w.signed(receipt)
	if err != nil {
		return err
	}
	w.passed(stepReceipt)
	if err := w.endOthers(ctx, request); err != nil {
		return err
	}
	w.passed(stepOthers)
	how := vault.Ending{State: gdpr.StateCompleted, Result: text}
	if receipt.EventsUnreadable == nil {
		how.Unfinished = time.Now().Add(w.countAgain)
	}
	return w.end(ctx, request, how)
}

// destroy has the vault destroy the person, unless a hold forbids it.
func (w *Worker) destroy(ctx context.Context, request *vault.Request) (vault.Erased, error) {
	if err := w.findSubject(ctx, request); err != nil {
		return vault.Erased{}, err
	}
	if err := w.say(ctx, request, gdpr.StateInProgress, ""); err != nil {
		return vault.Erased{}, err
	}
	w.passed(stepBegun)
	if err := w.checkHolds(ctx, request.Subject); err != nil {
		return vault.Erased{}, err
	}
	w.passed(stepHeld)
	suppression, err := w.suppression(ctx, request)
	if err != nil {
		return vault.Erased{}, err
	}
	erased, found, err := w.deps.Vault.Erase(ctx, vault.Erasure{Request: request.ID, Subject: request.Subject, Suppression: suppression, At: time.Now()})
	var held *vault.HeldError
	switch {
	case errors.As(err, &held):
		return vault.Erased{}, &refusal{held.Error()}
	case err != nil:
		return vault.Erased{}, err
	case !found:
		return vault.Erased{}, &refusal{"the person was erased by another request meanwhile"}
	}
	return erased, nil
}

// endOthers ends the person's other requests, which nobody may ever verify: each still says, encrypted, of whom it is.
func (w *Worker) endOthers(ctx context.Context, request *vault.Request) error {
	who, ok, err := w.deps.Vault.RequestIdentity(ctx, *request)
	if err != nil || !ok {
		return err
	}
	list, err := w.deps.Vault.Requests(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		other := &list[i]
		if other.ID == request.ID || other.State.Ended() {
			continue
		}
		theirs, ok, err := w.deps.Vault.RequestIdentity(ctx, *other)
		if err != nil {
			return err
		}
		// One that is being carried out finds out by itself.
		if ok && theirs == who {
			if _, err := CancelRequest(ctx, w.deps.Vault, other, "the person was erased"); err != nil {
				return err
			}
		}
	}
	return nil
}

// findSubject finds out whose request it is. Nobody is created by being asked about.
func (w *Worker) findSubject(ctx context.Context, request *vault.Request) error {
	if request.Subject != (gdpr.SubjectID{}) {
		return nil // it was found before an interruption, and may be destroyed since
	}
	who, ok, err := w.deps.Vault.RequestIdentity(ctx, *request)
	if err != nil {
		return err
	}
	if !ok {
		return &refusal{"the request does not say of whom it is"}
	}
	subject, found, err := w.deps.Vault.Find(ctx, who)
	if err != nil {
		return err
	}
	if !found {
		return &refusal{"nobody of that name is known"}
	}
	subject.Keys.Wipe()
	request.Subject = subject.ID
	return w.deps.Vault.NoteSubject(ctx, request.ID, subject.ID)
}

// checkHolds refuses when a legal hold keeps the person's data, or those of somebody in the same events: their content goes together.
func (w *Worker) checkHolds(ctx context.Context, subject gdpr.SubjectID) error {
	holds, err := w.deps.Vault.Holds(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	var active []vault.Hold
	var ids []gdpr.SubjectID
	for _, hold := range holds {
		if hold.Active(now) {
			active, ids = append(active, hold), append(ids, hold.Subject)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	involved, err := w.deps.Store.Involved(ctx, subject, ids)
	if err != nil {
		return err
	}
	for _, id := range append(involved, subject) {
		for _, hold := range active {
			if hold.Subject == id {
				return &refusal{(&vault.HeldError{Hold: hold}).Error()}
			}
		}
	}
	return nil
}

// suppression says which records are nobody's from now on: those in Kafka, and those that producers still have in their spools.
func (w *Worker) suppression(ctx context.Context, request *vault.Request) (vault.Suppression, error) {
	o, err := optionsOf(request)
	if err != nil {
		return vault.Suppression{}, err
	}
	partitions, err := w.deps.Kafka.Partitions(ctx, w.cfg.EventsTopic)
	if err != nil {
		return vault.Suppression{}, err
	}
	now := time.Now()
	s := vault.Suppression{
		// Not to the microsecond, which would tie it to the entry about the erasure.
		Until: now.Truncate(w.roundUntil).Add(w.roundUntil), Offsets: make(map[string]int64, partitions), Forever: o.SuppressForever,
	}
	for partition := range partitions {
		_, end, err := w.deps.Kafka.Offsets(ctx, w.cfg.EventsTopic, partition)
		if err != nil {
			return vault.Suppression{}, err
		}
		s.Offsets[chain.LogName(w.cfg.EventsTopic, partition, 0)] = end
	}
	kept, err := w.kafkaKeeps(ctx)
	if err != nil {
		return vault.Suppression{}, err
	}
	s.Expires = now.Add(kept + w.cfg.SpoolMaxAge + segmentAge)
	return s, nil
}

const (
	// segmentAge is how much longer than its retention Kafka may keep a record: it removes whole segments (segment.ms, a week by default).
	segmentAge = 7 * 24 * time.Hour
	// forEver stands for a retention that has no end, or that nobody tells.
	forEver = 10 * 365 * 24 * time.Hour
)

// kafkaKeeps is how long Kafka keeps events.
func (w *Worker) kafkaKeeps(ctx context.Context) (time.Duration, error) {
	kept, err := w.deps.Kafka.Retention(ctx, w.cfg.EventsTopic)
	if err != nil && !errors.Is(err, kafkaio.ErrNotTold) {
		return 0, err
	}
	if kept == 0 {
		return forEver, nil
	}
	return kept, nil
}

// sayErased has the destruction stand in the log.
func (w *Worker) sayErased(ctx context.Context, request *vault.Request, erased vault.Erased) (systemlog.Place, error) {
	return w.speaker.Say(ctx, events.Record{
		EventID: stepID(request.ID, typeErasure), Time: erased.At, Type: typeErasure, Action: "erase", Outcome: events.Success,
		Attributes: map[string]string{"request": gdpr.SubjectID(request.ID).String(), "subject": erased.Subject.String(), "key_id": erased.KeyID.String()},
	})
}

func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
