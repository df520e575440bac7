package anomaly

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

func exp2(x float64) float64 { return math.Exp2(x) }

// clue is one piece of evidence before it is written out.
type clue struct {
	group  group
	rate   rate
	window window
	value  value
	what   novelty
	name   string // what is new
	x      uint64
	usual  float64 // the centre of what is expected, on the measure's scale
	scale  float64
	score  float64
	hour   int
	wanted string // what was expected, where it is no amount
	pretty string // what was seen
	grave  Severity
	ref    ref
	// Of a groupSeries: what is followed, the least that was usual, and the minute with which the interval began.
	followed followed
	low      float64
	begun    int64
}

// group is the kind of evidence: within one it is the same thing seen in several ways, of different ones each says something of its own.
type group uint8

const (
	groupRate group = iota
	groupValue
	groupNovel
	groupHour
	groupOrder
	groupFinding
	groupRule
	groupProducer
	groupSeries // by what it is added to the other evidence, a groupRate
	numGroups
)

// verdict is what is thought of one entity in one minute. It is reused.
type verdict struct {
	clues  []clue
	groups [numGroups]float64
	total  float64
	// surprise is −log10 of the share of the entities' days with that much evidence.
	surprise float64
	mature   bool
	alone    Severity // of a rule that has matched; 0: none
	fresh    float64  // novelty, with what was new a while ago
	ratio    float64  // the largest factor by which something exceeds what is expected at most
	guarded  bool
	// Of a whole interval, which began with the minute begun.
	inInterval bool
	begun      int64
}

// signal is the name by which feedback and suppressions know it.
func (c *clue) signal() string {
	switch c.group {
	case groupRate:
		return rates[c.rate].name
	case groupValue:
		return values[c.value].name
	case groupNovel:
		return novelties[c.what].name
	case groupHour:
		return "novel.hour"
	case groupOrder:
		return "order.read_then_send"
	case groupSeries:
		return follows[c.followed].name
	}
	return c.name
}

// SignalFamilies are the first labels of all names of signals.
func SignalFamilies() []string {
	return []string{"rate", "value", "novel", "order", "series", "gap", "silence", "finding", "rule"}
}

const (
	// noticed is the surprise below which a clue says nothing: one day in ten has as much.
	noticed = 1.0
	// leastFactor is the logarithm of how many times the usual amount anybody wants to hear of, be it ever so regular: thrice.
	leastFactor = 1.1
	// freshMinutes is in how many minutes novelty is forgotten by half: what is done with a stolen key is done soon.
	freshMinutes = 120
	// grown is by what factor the sum of an hour or a day must have grown since it was last said.
	grown = 1.5
	// settlingDays is how many days an entity must have behind it before novelty counts in full: of one that has fewer, nearly everything is new.
	settlingDays = 3
)

// judge weighs what an entity has done in a minute against its past. The sums of the hour and the day include this minute. It changes nothing but v; the
// entity's blocks are raised by raise, if it is not nil.
func (e *Engine) judge(v *verdict, t *tenant, ent *entity, c *cell, number int64, hourSums, daySums *[numRates]uint64, raise *[numTails]uint8) {
	*v = verdict{clues: v.clues[:0]}
	p := &t.peers[ent.key.kind]
	day := floorDiv(number, minutesOfDay)
	v.mature = p.since != never32 && day-int64(p.since) >= int64(e.cfg.LearnDays) && p.days >= maturity[ent.key.kind]
	e.judgeRates(v, p, ent, c, hourSums, daySums, raise)
	if ent.key.kind != kindTenant {
		e.judgeNovelty(v, t, p, ent, c)
	}
	e.judgeOrder(v, p, ent, c, hourSums)
	if ent.key.kind == kindSubject {
		e.judgeHour(v, p, ent, number)
	}
	for i := range c.proofs {
		pr := &c.proofs[i]
		k := clue{group: groupFinding, name: pr.name, wanted: pr.wanted, pretty: pr.title, score: pr.score, grave: pr.severity, ref: pr.ref}
		if pr.alone {
			k.group = groupRule
		}
		v.clues = append(v.clues, k)
	}
	e.suppressed(v, ent, number, 0)
	v.sum(ent, number, nil)
	v.surprise = p.total.Surprise(tailScale(v.total))
}

// tailScale makes of what has an exponential tail, as sums of logarithms of probabilities and deviations of logarithms of amounts have, what a Tail
// expects, whose tail is a power's.
func tailScale(x float64) float64 { return math.Exp2(min(x, 40)) - 1 }

// maturity is how many days of entities must have been seen before their tails are believed.
var maturity = [kindTenant + 1]uint64{kindSubject: 40, kindAgent: 10, kindTenant: 14}

func (e *Engine) judgeRates(v *verdict, p *peers, ent *entity, c *cell, hourSums, daySums *[numRates]uint64, raise *[numTails]uint8) {
	for r := range numJudged {
		if c.sums[r] == 0 {
			continue
		}
		m := &rates[r]
		sums := [numWindows]uint64{c.sums[r], hourSums[r], daySums[r]}
		for w, x := range sums {
			w := window(w)
			if raise == nil && x < m.least[w] || ent.key.kind == kindTenant && w == perMinute {
				continue
			}
			location, scale := usual(&ent.levels[w][r], &p.levels[w][r], &p.within[w][r], believed[w], m.floor())
			z := (m.of(x) - location) / scale
			if z <= 0 {
				continue
			}
			i := tailOfRate(w, r)
			if raise != nil {
				raise[i] = max(raise[i], blockOf(z))
			}
			if x < m.least[w] || !m.sparse && z*scale < leastFactor || w != perMinute && float64(x) < grown*float64(ent.said[w-1][r]) {
				continue
			}
			if s := p.tail(i).Surprise(tailScale(z)); s >= noticed {
				v.clues = append(v.clues, clue{group: groupRate, rate: r, window: w, x: x, usual: location, scale: scale, score: s})
			}
		}
	}
	for k := range numValues {
		x := c.most[k]
		if x == 0 {
			continue
		}
		m := &values[k]
		if raise == nil && x < m.least[perMinute] {
			continue
		}
		location, scale := usual(&ent.sizes[k], &p.sizes[k], &p.withinSizes[k], sizesBelieved, m.floor())
		z := (m.of(x) - location) / scale
		if z <= 0 {
			continue
		}
		i := tailOfValue(k)
		if raise != nil {
			raise[i] = max(raise[i], blockOf(z))
		}
		if x < m.least[perMinute] || z*scale < leastFactor {
			continue
		}
		if s := p.tail(i).Surprise(tailScale(z)); s >= noticed {
			v.clues = append(v.clues, clue{group: groupValue, value: k, x: x, usual: location, scale: scale, score: s})
		}
	}
}

// rareShare is the share of users below which a way to protected data is not a common one.
const rareShare = 0.03

// leastNovelty is the rate a day of new things that is believed at least: nobody has been watched for long enough to say less.
const leastNovelty = 0.003

func (e *Engine) judgeNovelty(v *verdict, t *tenant, p *peers, ent *entity, c *cell) {
	settled := min(float64(ent.days)/settlingDays, 1)
	if settled == 0 {
		return
	}
	for i := range c.sightings {
		s := &c.sightings[i]
		if ent.knows(s.what, s.hash) {
			continue
		}
		days := float64(ent.days)
		rate := (days*float64(ent.novel[s.what]) + 10*float64(p.novel[s.what])) / (days + 10)
		score := -math.Log10(min(max(rate, leastNovelty), 1))
		if ent.key.kind == kindSubject {
			users := t.popular[popularKey{s.what, s.hash}]
			share := float64(users) / float64(max(p.entities, 1))
			switch {
			case s.what == newProtected && share < rareShare:
				score = max(score, -math.Log10(rareShare)) // however often other things are new
			case share > 0:
				score = min(score, -math.Log10(min(share, 1)))
			}
			if users == 0 && s.what != newNetwork {
				score = max(score, 1.7) + 1 // nobody has used it
			}
		}
		if s.what == newProtected {
			score += 3.2
			v.guarded = true
		}
		score *= settled
		if score >= 0.5 {
			v.clues = append(v.clues, clue{group: groupNovel, what: s.what, name: s.name, score: min(score, MaxSurprise), ref: s.ref})
		}
	}
}

// judgeHour asks how often the user is active at this time of day; neighbouring hours count, as people come earlier and later.
func (e *Engine) judgeHour(v *verdict, p *peers, ent *entity, number int64) {
	week := weekend(floorDiv(number, minutesOfDay))
	days := float64(ent.hourDays[week])
	if days < 3 && ent.days < 8 {
		return
	}
	hour := int(floorDiv(number, minutesOfHour) - 24*floorDiv(number, minutesOfDay))
	near := max(ent.hours[week][hour], ent.hours[week][(hour+1)%24], ent.hours[week][(hour+23)%24])
	all := float64(max(p.hourDays[week], 1))
	share := float64(p.hours[week][hour]) / all
	score := -math.Log10((float64(near) + 2*share + 0.02) / (days + 2.02))
	if score = min(score, 2.5); score >= 0.5 {
		v.clues = append(v.clues, clue{group: groupHour, hour: hour, score: score})
	}
}

// judgeOrder sees what no single number shows: much was read, and then something was sent out.
func (e *Engine) judgeOrder(v *verdict, p *peers, ent *entity, c *cell, hourSums *[numRates]uint64) {
	if c.lastSend == 0 || hourSums[rateRows] < rates[rateRows].least[perMinute] {
		return
	}
	read, sent := 0.0, 0.0
	for _, k := range []rate{rateRows, rateSends} {
		m := &rates[k]
		location, scale := usual(&ent.levels[perHour][k], &p.levels[perHour][k], &p.within[perHour][k], believed[perHour], m.floor())
		if z := (m.of(hourSums[k]) - location) / scale; z > 0 {
			s := p.tail(tailOfRate(perHour, k)).Surprise(tailScale(z))
			if k == rateRows {
				read = s
			} else {
				sent = s
			}
		}
	}
	// Rows that were read in an earlier minute of the hour were read before anything that is sent in this one.
	before := hourSums[rateRows] > c.sums[rateRows] || c.firstRead != 0 && c.firstRead < c.lastSend
	if before && read >= 0.7 && sent >= 0.7 {
		v.clues = append(v.clues, clue{group: groupOrder, x: hourSums[rateRows], score: min(read, sent)})
	}
}

// sum brings the evidence of all groups together. Within a group it is Fuse's norm, as its parts see one thing; across groups it is the sum. How often that
// much comes together by chance, dependent as it may be, the tail of the totals knows. Besides, nil or not, is evidence of groups that was summed before.
func (v *verdict) sum(ent *entity, number int64, besides *[numGroups]float32) {
	var power [numGroups]float64
	for i := range v.clues {
		c := &v.clues[i]
		if c.group == groupRule {
			v.alone = max(v.alone, c.grave)
			continue
		}
		g := c.group
		if g == groupSeries {
			g = groupRate // the same amounts, seen in another way
		}
		power[g] += math.Pow(c.score, 4)
		if g == groupRate || g == groupValue {
			v.ratio = max(v.ratio, c.excess())
		}
	}
	if besides != nil {
		for g, x := range besides {
			power[g] += math.Pow(float64(x), 4)
		}
	}
	for g := range power {
		v.groups[g] = math.Sqrt(math.Sqrt(power[g]))
	}
	v.fresh = v.groups[groupNovel]
	if ent.freshAt != noMinute {
		v.fresh = max(v.fresh, float64(ent.fresh)*math.Exp2(-float64(max(number-ent.freshAt, 0))/freshMinutes))
	}
	main := v.groups[groupRate] + v.groups[groupValue]/2 + v.fresh + v.groups[groupFinding] + v.groups[groupOrder]/2
	// The hour alone is nothing: people work at night.
	v.total = main + min(v.groups[groupHour], main)
}

// excess is by what factor the amount exceeds what is expected at most.
func (c *clue) excess() float64 {
	m := c.measure()
	return float64(c.x) / max(m.back(c.usual+2*c.scale), float64(m.least[perMinute])/10, 1)
}

func (c *clue) measure() *measure {
	switch c.group {
	case groupValue:
		return &values[c.value]
	case groupSeries:
		return &follows[c.followed].measure
	}
	return &rates[c.rate]
}

// scoreOf is what a rule's match is worth beside surprises.
func scoreOf(s Severity) float64 { return 1.5 * float64(s) }

func severityOf(t scan.Threat) Severity {
	switch t {
	case scan.Critical:
		return Critical
	case scan.High:
		return High
	case scan.Medium:
		return Medium
	}
	return Low
}

// findingScore is what a finding is worth: little by itself, since texts about attacks look like attacks, and much together with other evidence.
func findingScore(t scan.Threat) float64 {
	switch t {
	case scan.Critical:
		return 2
	case scan.High:
		return 1.5
	}
	return 0.7
}

func findingName(name string) string { return "finding." + name }

// severity of the verdict.
func (v *verdict) severity(threshold float64) Severity {
	s := v.alone
	if !v.mature || v.surprise < threshold {
		return s
	}
	kinds := 0
	for _, g := range []float64{v.groups[groupRate], v.groups[groupValue], v.fresh, v.groups[groupFinding], v.groups[groupOrder]} {
		if g >= 1.5 {
			kinds++
		}
	}
	by := Medium
	if v.guarded || kinds >= 2 && v.surprise >= threshold+0.7 || v.ratio >= 20 {
		by = High
	}
	if v.surprise >= threshold+2 && (v.ratio >= 25 && kinds >= 2 || v.ratio >= 8 && kinds >= 3 || v.ratio >= 100) {
		by = Critical
	}
	return max(s, by)
}

// signals writes the clues out, the strongest first, at most MaxSignals, of each name the strongest. What baselines say that have learned next to nothing is left
// out: "expected: at most 0.00 USD" is not what anybody expected.
func (v *verdict) signals(dst []Signal, p *peers, since time.Time) []Signal {
	slices.SortStableFunc(v.clues, func(a, b clue) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	for i := range v.clues {
		c := &v.clues[i]
		if len(dst) == MaxSignals {
			break
		}
		name := c.signal()
		if !v.mature && c.learned() {
			continue
		}
		if slices.ContainsFunc(dst, func(s Signal) bool { return s.Name == name }) {
			continue
		}
		s := Signal{Name: name, Score: math.Round(100*c.score) / 100, Since: since}
		if c.group == groupSeries {
			s.Since = minuteTime(c.begun)
		}
		s.Expected, s.Observed = c.texts(p)
		dst = append(dst, s)
	}
	return dst
}

// learned tells whether the clue is a comparison with what is usual.
func (c *clue) learned() bool {
	return c.group != groupRule && c.group != groupFinding && c.group != groupProducer
}

// texts says what was expected and what was seen.
func (c *clue) texts(p *peers) (expected, observed string) {
	switch c.group {
	case groupRate:
		m := &rates[c.rate]
		limit := m.back(c.usual + c.scale*usualLimit(p.tail(tailOfRate(c.window, c.rate))))
		return "at most " + m.text(limit) + " " + windowNames[c.window], m.text(float64(c.x)) + " " + windowNames[c.window]
	case groupValue:
		m := &values[c.value]
		limit := m.back(c.usual + c.scale*usualLimit(p.tail(tailOfValue(c.value))))
		return "at most " + m.text(limit), m.text(float64(c.x))
	case groupSeries:
		m := &follows[c.followed]
		low, high := m.back(c.low), m.back(c.usual+3*c.scale)
		expected = fmt.Sprintf("about %s in 5 minutes at this hour, %s", m.text(m.back(c.usual)), m.span(low, high))
		observed = m.text(float64(c.x)) + " in 5 minutes"
		if float64(c.x) <= high {
			observed += ", after hours above what is usual"
		}
		return expected, observed
	case groupNovel:
		n := novelties[c.what]
		switch {
		case c.name == "":
			observed = "a new " + n.what
		case c.what == newProtected:
			observed = fmt.Sprintf("tool %s on protected data, for the first time", c.name)
		default:
			observed = fmt.Sprintf("%s %s, for the first time", n.what, c.name)
		}
		return "only what was used before", observed
	case groupHour:
		return "hours in which there was activity before", fmt.Sprintf("activity at %02d:00 UTC", c.hour)
	case groupOrder:
		return "much reading or much sending, not one after the other", fmt.Sprintf("%s within an hour, then messages sent out", rates[rateRows].text(float64(c.x)))
	case groupFinding:
		return "no such finding", "found, in texts of " + c.grave.String() + " threat"
	case groupRule:
		return cmp.Or(c.wanted, "nothing that the rule is about"), c.pretty
	}
	return c.wanted, c.pretty
}

// usualLimit is the deviation that one day in ten exceeds.
func usualLimit(t *Tail) float64 {
	z := 0.5
	for z < 1000 && t.Surprise(tailScale(z)) < noticed {
		z *= 1.1
	}
	return z
}
