package anomaly

// tenant is what is known of everybody in it together: where newcomers start, and what is rare.
type tenant struct {
	name  string
	index uint32
	dirty bool
	peers [kindTenant + 1]peers
	// popular is how many users are known to use a thing.
	popular map[popularKey]uint32
	// alerted incidents of a day count against the budget.
	budgetDay int64
	alerted   int
	// The entities of the tenant itself and of the agent that was seen last, plus 1; 0: look.
	self, lastAgent uint32
	lastAgentName   string
}

type popularKey struct {
	what novelty
	hash uint32
}

// maxPopular bounds what is counted for a tenant; what comes later counts as rare.
const maxPopular = 4096

// numTails is one for each rate and window, and for each value.
const numTails = int(numWindows)*int(numRates) + int(numValues)

func tailOfRate(w window, r rate) int { return int(w)*int(numRates) + int(r) }
func tailOfValue(v value) int         { return int(numWindows)*int(numRates) + int(v) }

// peers are all entities of one kind of a tenant.
type peers struct {
	levels [numWindows][numRates]Level
	sizes  [numValues]Level
	// within are the deviations of entities from what is usual for themselves: how much one entity varies, as against how much they differ.
	within      [numWindows][numRates]Level
	withinSizes [numValues]Level
	// tails say how often an entity's day has a deviation as large, for each quantity; nil: none was ever seen. total says it of all evidence together.
	tails [numTails]*Tail
	total Tail
	// days of entities that were learned, and the first of them.
	days  uint64
	since int32
	// novel things a day, and in which hours the days were active.
	novel    [numNovelties]float32
	hours    [2][24]uint32
	hourDays [2]uint32
	entities uint32
}

func newTenant(name string, index uint32) *tenant {
	t := &tenant{name: name, index: index, popular: map[popularKey]uint32{}, budgetDay: noMinute}
	for k := range t.peers {
		t.peers[k].since = never32
	}
	return t
}

const never32 = -1 << 31

// Memories, in windows of activity: what an entity did so long ago counts e⁻¹.
var (
	memory      = [numWindows]float64{perMinute: 3000, perHour: 400, perDay: 30}
	peersMemory = [numWindows]float64{perMinute: 50_000, perHour: 20_000, perDay: 5000}
	// believed is how many windows an entity must have had for its own past to weigh as much as its peers'.
	believed = [numWindows]float64{perMinute: 30, perHour: 12, perDay: 4}
)

const (
	sizesMemory      = 2000
	sizesPeersMemory = 50_000
	sizesBelieved    = 20
)

// usual is what is expected of an entity: its own level as far as it is known, and its peers' for the rest. Its spread is believed later than its level:
// until then it varies as one of its peers does.
func usual(own, all, within *Level, believed, floor float64) (location, scale float64) {
	n := float64(own.Count())
	weight := n / (n + believed)
	location = weight*own.Location() + (1-weight)*all.Location()
	spread := n / (n + 3*believed)
	one := spread*own.Scale() + (1-spread)*within.Scale()
	if within.Count() < leastWithin {
		one = all.Scale()
	}
	scale = weight*one + (1-weight)*all.Scale()
	return location, max(scale, floor)
}

// leastWithin is how many deviations of entities from their own past tell how much they vary.
const leastWithin = 50

// teach learns a value of one entity: what is usual for it, for all, and how far one is from its own past.
func teach(own, all, within *Level, x, memory, peersMemory float64) {
	if own.Count() >= 3 {
		within.Learn(x-own.Location(), peersMemory)
	}
	own.Learn(x, memory)
	all.Learn(x, peersMemory)
}

// tail returns a tail to ask.
func (p *peers) tail(i int) *Tail {
	if t := p.tails[i]; t != nil {
		return t
	}
	return emptyTail
}

// emptyTail knows nothing but its prior, and learns nothing.
var emptyTail = new(Tail)

// learnTail adds an entity's day.
func (p *peers) learnTail(i int, maximum float64) {
	if p.tails[i] == nil {
		if maximum <= 0 {
			return
		}
		// The days before this one had none.
		p.tails[i] = new(Tail)
		p.tails[i].total = uint32(min(2*p.days, tailFull-1))
	}
	p.tails[i].LearnHalf(maximum)
	p.tails[i].LearnHalf(maximum)
}

// blockOf keeps a deviation by the bin of its tail, rounded up to the next quarter octave; 0: none.
func blockOf(z float64) uint8 {
	if z <= 0 {
		return 0
	}
	bin, _ := tailPlace(tailScale(z))
	return uint8(bin + 1)
}

// ofBlock is, on the tail's scale, the middle of what blockOf has kept.
func ofBlock(b uint8) float64 {
	if b == 0 {
		return 0
	}
	return exp2((float64(b-1) + 0.5 - tailOne) / binsPerOctave)
}
