package notify

import (
	"testing"
	"testing/synctest"
	"time"
)

// A second lies between the answer to a message and the next message: a message that is long on its way arrives less than a second before the next otherwise.
func TestGateRestsAfterAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(slackEvery)
		var answered time.Time
		for range 3 {
			if err := g.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(answered); d < slackEvery {
				t.Errorf("%s after an answer", d)
			}
			time.Sleep(700 * time.Millisecond) // the request is on its way
			g.rest()
			answered = time.Now()
		}
		free := newGate(0)
		free.rest()
		began := time.Now()
		if err := free.wait(t.Context()); err != nil || !time.Now().Equal(began) {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
	})
}
