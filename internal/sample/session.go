package sample

import (
	"math"
	"math/rand/v2"
	"time"
)

// stepKind is what happens in a step of a session.
type stepKind uint8

const (
	stepLogin stepKind = iota
	stepAsk
	stepModel
	stepTool
	stepData
	stepApproval
	stepAnswer
	stepRateLimit
	stepBlocked
	stepPermission
	stepConfig
	// Of the incident.
	stepPoison
	stepObey
	stepLeak
	stepSpam
	stepStopped
)

// fate is how a step ends.
type fate uint8

const (
	fateGood fate = iota
	fateFailed
	fateDenied
	fatePending
)

// step is an event to come.
type step struct {
	at     time.Duration // after the session's beginning
	kind   stepKind
	fate   fate
	text   string // template
	action *action
}

// session is what a user does with an agent in one go.
type session struct {
	user         *user
	agent        *agent
	model        *model
	facts        facts
	begin        time.Time
	steps        []step
	next         int
	userID, ip   string
	id           string
	conversation string
	trace        string
}

// Rates of what goes wrong.
const (
	toolFails    = 0.025
	modelFails   = 0.006
	toolDenied   = 0.006
	approvalNo   = 0.05
	rateLimited  = 0.004
	guardBlocks  = 0.003
	otherAgent   = 0.12 // the user takes another agent than usual
	otherModel   = 0.08
	furtherAsked = 0.45
)

// plan makes the steps of a session.
func (s *session) plan(rng *rand.Rand, login bool) {
	p := planner{rng: rng, steps: s.steps[:0]}
	sc := pick(rng, s.agent.scenarios)
	if login {
		p.add(stepLogin, 0, fateGood)
		if rng.Float64() < 0.03 { // mistyped, then right
			p.steps[len(p.steps)-1].fate = fateFailed
			p.add(stepLogin, 6*time.Second, fateGood)
		}
		p.wait(15 * time.Second)
	}
	p.text(stepAsk, pick(rng, sc.ask))
	p.model()
	for i := range sc.actions {
		p.tool(&sc.actions[i])
	}
	if rng.Float64() < guardBlocks {
		p.add(stepBlocked, 200*time.Millisecond, fateGood)
	}
	p.text(stepAnswer, pick(rng, sc.answer))
	if rng.Float64() < furtherAsked {
		p.wait(25 * time.Second)
		i := rng.IntN(len(sc.further))
		p.text(stepAsk, sc.further[i])
		p.model()
		p.text(stepAnswer, sc.reply[min(i, len(sc.reply)-1)])
	}
	s.steps, s.next = p.steps, 0
}

// planner adds steps one after the other.
type planner struct {
	rng   *rand.Rand
	now   time.Duration
	steps []step
}

func (p *planner) add(kind stepKind, after time.Duration, end fate) {
	p.now += after
	p.steps = append(p.steps, step{at: p.now, kind: kind, fate: end})
}

// wait lets about so long pass: log-normal, as pauses of people are.
func (p *planner) wait(median time.Duration) {
	p.now += time.Duration(float64(median) * math.Exp(p.rng.NormFloat64()*0.8))
}

func (p *planner) text(kind stepKind, template string) {
	p.wait(1200 * time.Millisecond)
	p.steps = append(p.steps, step{at: p.now, kind: kind, text: template})
}

func (p *planner) model() {
	end := fateGood
	if p.rng.Float64() < rateLimited {
		p.add(stepRateLimit, 100*time.Millisecond, fateGood)
		p.wait(2 * time.Second)
	}
	if p.rng.Float64() < modelFails {
		end = fateFailed
	}
	p.wait(1800 * time.Millisecond)
	p.add(stepModel, 0, end)
	if end == fateFailed {
		p.wait(3 * time.Second)
		p.add(stepModel, 0, fateGood)
	}
}

func (p *planner) tool(a *action) {
	allowed := true
	if a.risk != "" {
		// Asked for, decided later by a person.
		p.action(stepApproval, a, fatePending)
		p.wait(40 * time.Second)
		decision := fateGood
		if p.rng.Float64() < approvalNo {
			decision, allowed = fateDenied, false
		}
		p.action(stepApproval, a, decision)
	}
	if !allowed {
		p.model()
		return
	}
	end := fateGood
	switch x := p.rng.Float64(); {
	case x < toolDenied:
		end = fateDenied
	case x < toolDenied+toolFails:
		end = fateFailed
	}
	p.wait(time.Duration(a.millis * float64(time.Millisecond)))
	p.action(stepTool, a, end)
	if end == fateFailed { // once more
		p.wait(2 * time.Second)
		end = fateGood
		p.action(stepTool, a, end)
	}
	if end == fateDenied && p.rng.Float64() < 0.2 {
		p.wait(5 * time.Minute)
		p.action(stepPermission, a, fateGood)
	}
	if end == fateGood && a.rows > 0 {
		p.wait(30 * time.Millisecond)
		p.action(stepData, a, fateGood)
	}
	p.model()
}

func (p *planner) action(kind stepKind, a *action, end fate) {
	p.steps = append(p.steps, step{at: p.now, kind: kind, fate: end, action: a})
}
