package anomaly

import "math"

// entityKey finds an entity. Agents and producers are known by a hash of their names.
type entityKey struct {
	tenant uint32 // index of the tenant
	kind   kind
	id     [16]byte
}

// kind is EntityKind as a number, in the order in which they are looked at when a minute closes: what a user's incident explains, the agent's need not say
// again.
type kind uint8

const (
	kindSubject kind = iota
	kindAgent
	kindTenant
	kindProducer
	numKinds
)

var kindNames = [numKinds]EntityKind{EntitySubject, EntityAgent, EntityTenant, EntityProducer}

// How many values of each kind of novelty an entity is known to use. When there is no more room, what was not used for longest is forgotten.
var knownRoom = [numNovelties]int{newNetwork: 10, newTool: 24, newAgent: 6, newModel: 6, newResource: 14, newProtected: 8}

const (
	knownTotal = 10 + 24 + 6 + 6 + 14 + 8
	// minutesOfHour and so on: windows are numbered by dividing minutes.
	minutesOfHour = 60
	minutesOfDay  = 1440
)

// entity is what is kept of a user, an agent or a tenant as of the minutes that are closed. It holds no pointers, so that millions of them cost the garbage
// collector nothing. All of it is a function of the events in the closed minutes.
type entity struct {
	key    entityKey
	name   uint32 // of an agent: index of its name; 0: none
	inUse  bool
	dirty  bool // changed since Changed was called
	live   uint32
	watch  uint32 // its place among the watches; 0: it has no series
	minute int64  // last active minute
	hour   int32  // the hour and the day that hourSums and daySums are of
	day    int32
	since  int32 // day of the first event
	days   uint16

	hourSums, daySums [numRates]uint64
	levels            [numWindows][numRates]Level
	sizes             [numValues]Level
	// said is what was last reported of the hour's and the day's sums: only what has clearly grown since is evidence anew.
	said [2][numRates]float32
	// blocks are the largest deviations of the day so far by their Tail's bin, what the day will teach the shared tails.
	blocks  [int(numWindows)*int(numRates) + int(numValues)]uint8
	total   float32 // the largest sum of evidence of the day
	alerted bool    // today: then the day teaches nothing beyond what is usual
	hold    Hysteresis
	held    int64 // minute of the last step of hold
	// fresh is the novelty of the last while, which decays: what comes after it is seen in its light.
	fresh   float32
	freshAt int64
	// novel is how many new things of each kind a day brings, as a running mean; hours how many days were active in each hour, on weekdays and on weekends.
	novel      [numNovelties]float32
	novelToday [numNovelties]uint8
	hours      [2][24]uint8
	hourDays   [2]uint8
	hoursToday uint32 // bit for each hour of the day
	// activeToday is in how many intervals of the day it was active, active that of earlier days as a running mean.
	activeToday uint16
	active      float32

	// The things it is known to use, by their hash, and the day of the last use (days since 1970, modulo 65,536).
	knownHash [knownTotal]uint32
	knownDay  [knownTotal]uint16
	knownN    [numNovelties]uint8
}

// slot returns where the known things of a kind are kept.
func (n novelty) slot() (from, to int) {
	for k := newNetwork; k < n; k++ {
		from += knownRoom[k]
	}
	return from, from + knownRoom[n]
}

// knows tells whether the entity has used the thing before.
func (ent *entity) knows(n novelty, hash uint32) bool {
	from, _ := n.slot()
	for i := from; i < from+int(ent.knownN[n]); i++ {
		if ent.knownHash[i] == hash {
			return true
		}
	}
	return false
}

// meet notes that it has used a thing on a day.
func (ent *entity) meet(n novelty, hash uint32, day uint16) {
	from, to := n.slot()
	end := from + int(ent.knownN[n])
	oldest := from
	for i := from; i < end; i++ {
		if ent.knownHash[i] == hash {
			ent.knownDay[i] = day
			return
		}
		// Ages, so that the wrap of the day's number does no harm; of equal ages the smaller hash goes.
		a, b := day-ent.knownDay[i], day-ent.knownDay[oldest]
		if a > b || a == b && ent.knownHash[i] < ent.knownHash[oldest] {
			oldest = i
		}
	}
	if end < to {
		ent.knownN[n]++
		oldest = end
	}
	ent.knownHash[oldest], ent.knownDay[oldest] = hash, day
}

// weekend tells whether a day, counted from 1970, is one.
func weekend(day int64) int {
	switch ((day+4)%7 + 7) % 7 {
	case 0, 6:
		return 1
	}
	return 0
}

// floorDiv divides towards minus infinity: there are times before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// hashText is FNV-1a, folded: it only has to tell apart what one entity uses, and must be the same after a restart.
func hashText(s string) uint32 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return uint32(h>>32) ^ uint32(h)
}

// hashNumber spreads a hash that others have made over 32 bits.
func hashNumber(x uint64) uint32 {
	x *= 0x9e3779b97f4a7c15
	return uint32(x >> 32)
}

// nameID makes an id from a name, for agents and producers.
func nameID(s string) (id [16]byte) {
	a, b := uint64(14695981039346656037), uint64(0x6c62272e07bb0142)
	for i := range len(s) {
		a = (a ^ uint64(s[i])) * 1099511628211
		b = (b + uint64(s[i]) + 1) * 0x9e3779b97f4a7c15
		b ^= b >> 29
	}
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return id
}

// slab holds entities in chunks, so that growing moves none.
type slab struct {
	chunks [][]entity
	used   uint32
	free   []uint32
}

const slabChunk = 256

func (s *slab) at(i uint32) *entity { return &s.chunks[i/slabChunk][i%slabChunk] }

func (s *slab) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if int(s.used) == len(s.chunks)*slabChunk {
		s.chunks = append(s.chunks, make([]entity, slabChunk))
	}
	s.used++
	return s.used - 1
}

func (s *slab) drop(i uint32) {
	*s.at(i) = entity{}
	s.free = append(s.free, i)
}

// live is what an entity has done in its current hour and day, with the minutes that are open.
type live struct {
	hour, day         int32
	hourSums, daySums [numRates]uint64
	cells             int
	// last is the cell that was used last, of the minute of that number.
	last   *cell
	number int64
}

// newEntity makes room for an entity; false: there is none.
func (e *Engine) newEntity(key entityKey, name string) (uint32, bool) {
	room := [numKinds]int{e.cfg.MaxSubjects, e.cfg.MaxAgents, e.cfg.MaxTenants, e.cfg.MaxProducers}
	if e.counts[key.kind] >= room[key.kind] {
		return 0, false
	}
	i := e.entities.take()
	e.counts[key.kind]++
	e.index[key] = i
	*e.entities.at(i) = entity{key: key, name: e.names.of(name), inUse: true, minute: noMinute, hour: math.MinInt32, day: math.MinInt32, since: math.MinInt32, held: noMinute, freshAt: noMinute}
	return i, true
}
