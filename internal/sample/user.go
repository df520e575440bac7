package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// user is somebody with habits. It is small, so that there can be a million.
type user struct {
	index     uint32
	tenant    uint8
	zone      int8  // hours from UTC
	agent     uint8 // favourite
	model     uint8 // favourite among the agent's
	userAgent uint8
	weight    float32 // sessions beside other users; log-normal with mean 1
	tokens    float32 // factor on tokens, log-normal
	peak      float32 // local hour of most work
	width     float32 // standard deviation of the working day, hours
	weekend   float32 // activity on Saturday and Sunday beside other days
	mean      float32 // of activity over the week
	network   uint32  // the address range of office and home
	lastLogin int64   // Unix seconds
}

// nightActivity is what is left of the peak at night: jobs, travellers.
const nightActivity = 0.02

func newUser(seed uint64, index, tenantCount int) user {
	rng := rand.New(rand.NewPCG(seed, 0x5ea7<<32|uint64(index)))
	u := user{
		index:     uint32(index),
		tenant:    uint8(index % tenantCount),
		userAgent: uint8(rng.IntN(len(userAgents))),
		weight:    float32(math.Exp(rng.NormFloat64()*0.7 - 0.245)),
		tokens:    float32(math.Exp(rng.NormFloat64() * 0.35)),
		peak:      float32(12.5 + rng.NormFloat64()*1.2),
		width:     float32(2.2 + rng.Float64()*1.4),
		weekend:   float32(0.04 + 0.2*rng.Float64()*rng.Float64()),
		network:   rng.Uint32(),
	}
	u.zone = int8(pick(rng, tenants[u.tenant].zones))
	u.agent = uint8(pickAgent(rng))
	if rng.Float64() < 0.25 {
		u.model = 1
	}
	var sum float64
	for hour := range 7 * 24 {
		sum += u.activity(time.Unix(int64(hour)*3600, 0))
	}
	u.mean = float32(sum / (7 * 24))
	return u
}

func pickAgent(rng *rand.Rand) int {
	x := rng.Float64()
	for i := range agents {
		if x -= agents[i].share; x < 0 {
			return i
		}
	}
	return 0
}

// activity is how much the user works at a time, between 0 and 1: a bell over
// the working day with a dip at noon, little on weekends, less at night.
func (u *user) activity(at time.Time) float64 {
	local := at.Unix() + int64(u.zone)*3600
	hour := float64(local%86_400) / 3600
	day := (local/86_400 + 4) % 7 // 1970-01-01 was a Thursday; 0 is Sunday
	x := (hour - float64(u.peak)) / float64(u.width)
	a := math.Exp(-x * x / 2)
	lunch := (hour - float64(u.peak) - 0.3) / 0.5
	a *= 1 - 0.5*math.Exp(-lunch*lunch/2)
	if day == 0 || day == 6 {
		a *= float64(u.weekend)
	}
	return nightActivity + (1-nightActivity)*a
}

// nextSession draws the time of the next session after a time, where perSecond
// is the user's mean rate: a Poisson process of varying rate, by thinning.
func (u *user) nextSession(rng *rand.Rand, after time.Time, perSecond float64) time.Time {
	highest := perSecond / float64(u.mean)
	for {
		wait := rng.ExpFloat64() / highest
		if wait > 1e9 { // beyond any run; the sum must not overflow
			wait = 1e9
		}
		after = after.Add(time.Duration(wait * float64(time.Second)))
		if rng.Float64() < u.activity(after) || after.Year() > 2190 {
			return after
		}
	}
}

// id is the user_id: a name or an address, as the company has it.
func (u *user) id() string {
	first := firstNames[int(u.index)%len(firstNames)]
	last := lastNames[int(u.index)/len(firstNames)%len(lastNames)]
	id := first + "." + last
	if n := int(u.index) / (len(firstNames) * len(lastNames)); n > 0 {
		id += strconv.Itoa(n + 1)
	}
	if domain := tenants[u.tenant].domain; domain != "" {
		id += "@" + domain
	}
	return id
}

// ip is the office's address, now and then the one at home.
func (u *user) ip(rng *rand.Rand) string {
	if rng.Float64() < 0.85 {
		return fmt.Sprintf("198.51.100.%d", 1+u.network%250)
	}
	return fmt.Sprintf("203.0.113.%d", 1+u.network>>8%250)
}
