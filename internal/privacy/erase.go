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

// attributeSuppress of such an entry is suppressForever if nothing of the person is ever to be kept again.
const (
	attributeSuppress = "suppress"
	suppressForever   = "forever"
)

// erase carries out an erasure. Each step can be repeated: whatever was done before a crash is found as it is.
func (w *Worker) erase(ctx context.Context, request *vault.Request) error {
	erased, done, err := w.deps.Vault.Destroyed(ctx, request.ID)
	if err != nil {
		return err
	}
	if done {
		// No hold that was ordered since can refuse it any more. And a vault that was restored does not know whom the request is about.
		request.Subject = erased.Subject
		// Again: a reader may have kept it from disappearing from the vault's files, and no receipt says so before.
		if _, _, err := w.deps.Vault.Erase(ctx, vault.Erasure{Request: request.ID, At: time.Now()}); err != nil {
			return err
		}
	} else if erased, err = w.destroy(ctx, request); err != nil {
		return err
	}
	w.passed(stepDestroyed)
	// Until then a process may seal on with what it had in memory. What lands later is dead: its key is gone. The time runs from here on, by a clock that nobody
	// sets: the transaction may have waited for others since erased.At.
	if err := sleepUntil(ctx, time.Now().Add(w.cfg.Lease)); err != nil {
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
	for range preparations {
		erased, err := w.prepareAndErase(ctx, request)
		if !errors.Is(err, vault.ErrOutdated) {
			return erased, err
		}
	}
	return vault.Erased{}, vault.ErrOutdated
}

// preparations is how often an erasure is prepared anew before it waits a while.
const preparations = 3

// prepareAndErase returns vault.ErrOutdated if somebody ordered a hold meanwhile, or the process stood still.
func (w *Worker) prepareAndErase(ctx context.Context, request *vault.Request) (vault.Erased, error) {
	weighed, err := w.checkHolds(ctx, request.Subject)
	if err != nil {
		return vault.Erased{}, err
	}
	w.passed(stepHeld)
	suppression, err := w.suppression(ctx, request)
	if err != nil {
		return vault.Erased{}, err
	}
	w.passed(stepPrepared)
	erased, found, err := w.deps.Vault.Erase(ctx, vault.Erasure{
		Request: request.ID, Subject: request.Subject, Suppression: suppression, At: time.Now(), Weighed: weighed, Before: suppression.Until,
	})
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
	return w.endRequestsOf(ctx, who, request.ID)
}

// endRequestsOf ends all requests of a person but one.
func (w *Worker) endRequestsOf(ctx context.Context, who vault.Identity, except [16]byte) error {
	list, err := w.deps.Vault.Requests(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		other := &list[i]
		if other.ID == except || other.State.Ended() {
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

// checkHolds refuses when a legal hold keeps the person's data, or those of somebody in the same events: their content goes together. It returns the holds that
// do not.
func (w *Worker) checkHolds(ctx context.Context, subject gdpr.SubjectID) (weighed [][16]byte, err error) {
	holds, err := w.deps.Vault.Holds(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var active []vault.Hold
	var ids []gdpr.SubjectID
	for _, hold := range holds {
		if hold.Active(now) {
			active, ids, weighed = append(active, hold), append(ids, hold.Subject), append(weighed, hold.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	involved, err := w.deps.Store.Involved(ctx, subject, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range append(involved, subject) {
		for _, hold := range active {
			if hold.Subject == id {
				return nil, &refusal{(&vault.HeldError{Hold: hold}).Error()}
			}
		}
	}
	return weighed, nil
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
		// Neither this nor Expires to the microsecond, which would tie the person's hash to the entry about the erasure.
		Until: now.Truncate(w.roundUntil).Add(w.roundUntil), Offsets: make(map[string]int64, partitions), Forever: o.SuppressForever,
	}
	for partition := range partitions {
		_, end, err := w.deps.Kafka.Offsets(ctx, w.cfg.EventsTopic, partition)
		if err != nil {
			return vault.Suppression{}, err
		}
		s.Offsets[chain.LogName(w.cfg.EventsTopic, partition, 0)] = end
	}
	kept, err := w.kafkaKeeps(ctx, w.cfg.EventsTopic)
	if err != nil {
		return vault.Suppression{}, err
	}
	s.Expires = s.Until.Add(kept + w.cfg.SpoolMaxAge + segmentAge)
	return s, nil
}

const (
	// segmentAge is how much longer than its retention Kafka may keep a record: it removes whole segments (segment.ms, a week by default).
	segmentAge = 7 * 24 * time.Hour
	// forEver stands for a retention that has no end, or that nobody tells.
	forEver = 10 * 365 * 24 * time.Hour
)

// kafkaKeeps is how long Kafka keeps the records of a topic.
func (w *Worker) kafkaKeeps(ctx context.Context, topic string) (time.Duration, error) {
	kept, err := w.deps.Kafka.Retention(ctx, topic)
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
	o, err := optionsOf(request)
	if err != nil {
		return systemlog.Place{}, err
	}
	attributes := map[string]string{"request": gdpr.SubjectID(request.ID).String(), "subject": erased.Subject.String(), "key_id": erased.KeyID.String()}
	if o.SuppressForever {
		attributes[attributeSuppress] = suppressForever // a restored vault may not know the request
	}
	return w.speaker.Say(ctx, events.Record{
		EventID: stepID(request.ID, typeErasure), Time: erased.At, Type: typeErasure, Action: "erase", Outcome: events.Success, Attributes: attributes,
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
