package simulate

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Config is how large a world is.
type Config struct {
	Seed uint64
	// Users and Tenants are how many there are; a tenth of the users come later.
	Users, Tenants int
	// Days are simulated from Start on (2026-03-02, a Monday).
	Days int
	// Services are accounts of programs, which work around the clock, beside the users.
	Services int
	// Incidents happen from day Quiet on, one kind after the other; Collective ones, in which each event by itself is as usual, besides.
	Incidents, Collective, Quiet int
}

// DefaultConfig is the size at which figures are given.
func DefaultConfig() Config {
	return Config{Seed: 1, Users: 1000, Tenants: 4, Days: 14, Services: 4, Incidents: 56, Collective: 12, Quiet: 5}
}

// Start is when day 0 begins.
func Start() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// World is everybody and everything that will happen. It is not changed after New.
type World struct {
	cfg     Config
	start   int64
	tenants []tenant
	users   []user
	labels  []Label
}

type tenant struct {
	name      string
	producers []string
	rollout   int // day on which everybody gets a new tool
	tool      string
}

// user has habits.
type user struct {
	number    int
	tenant    int
	subject   [16]byte
	producer  int
	agents    []int
	networks  []uint64
	begins    float64 // hour of the day
	lasts     float64
	weekends  float64 // probability to work
	sessions  float64 // a day, median
	calls     float64 // a session, median
	size      float64 // of requests
	dear      float64 // share of the dearer model
	joins     int     // day
	away      [2]int  // days of holiday
	shift     int     // day of a new project; -1: none
	shiftBy   float64
	late      float64 // probability of a session at night
	clumsy    float64 // share of failing log-ins
	travels   float64 // probability of a new network a day
	rolledOut int     // days after the roll-out at which it is used first
	service   bool
}

// pick makes the random numbers of one purpose, so that days and users can be made in any order.
func (w *World) pick(purpose uint64, a, b int) *rand.Rand {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[0:], w.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], purpose)
	binary.LittleEndian.PutUint64(seed[16:], uint64(a)+1)
	binary.LittleEndian.PutUint64(seed[24:], uint64(b)+1)
	return rand.New(rand.NewChaCha8(seed))
}

const (
	forWorld = iota
	forUser
	forDay
	forIncident
	forProducer
	forService
)

// New lays a world out.
func New(cfg Config) (*World, error) {
	if cfg.Users < 1 || cfg.Tenants < 1 || cfg.Tenants > cfg.Users || cfg.Days < 1 || cfg.Incidents+cfg.Collective > 0 && cfg.Quiet >= cfg.Days {
		return nil, fmt.Errorf("simulate: %d users of %d tenants for %d days, %d of them quiet, are no world", cfg.Users, cfg.Tenants, cfg.Days, cfg.Quiet)
	}
	w := &World{cfg: cfg, start: Start().UnixMicro()}
	rng := w.pick(forWorld, 0, 0)
	for i := range cfg.Tenants {
		t := tenant{name: fmt.Sprintf("tenant-%c", 'a'+i), rollout: 3 + rng.IntN(max(cfg.Days-4, 1)), tool: fmt.Sprintf("assistant_%d", i)}
		for k := range 1 + 3/(i+1) {
			t.producers = append(t.producers, fmt.Sprintf("gateway-%d-%d", i, k))
		}
		w.tenants = append(w.tenants, t)
	}
	for i := range cfg.Users {
		w.users = append(w.users, w.newUser(i))
	}
	for i := range cfg.Services {
		w.users = append(w.users, w.newService(i))
	}
	w.plan()
	w.planCollective()
	return w, nil
}

func (w *World) newUser(i int) user {
	rng := w.pick(forUser, i, 0)
	// Half of the users are the first tenant's, and so on.
	t := 0
	for t < w.cfg.Tenants-1 && rng.Float64() < 0.5 {
		t++
	}
	u := user{number: i, tenant: t, shift: -1}
	binary.LittleEndian.PutUint64(u.subject[0:], rng.Uint64())
	binary.LittleEndian.PutUint64(u.subject[8:], rng.Uint64())
	u.producer = rng.IntN(len(w.tenants[t].producers))
	u.agents = rng.Perm(len(agents))[:1+rng.IntN(3)]
	// An office that many share, and a place of their own.
	u.networks = []uint64{uint64(t)*1000 + uint64(rng.IntN(3)) + 1, rng.Uint64() | 1<<63}
	u.begins = 7 + 3*rng.Float64() + 1.2*rng.NormFloat64()
	u.lasts = 6 + 4*rng.Float64()
	u.weekends = 0.06
	if rng.Float64() < 0.12 {
		u.weekends = 0.6
	}
	if rng.Float64() < 0.05 { // another part of the world
		u.begins += 12
	}
	u.sessions = lognormal(rng, 4, 0.6)
	u.calls = lognormal(rng, 5, 0.4)
	u.size = lognormal(rng, 1, 0.5)
	u.dear = rng.Float64() * rng.Float64()
	u.away = [2]int{-1, -1}
	if rng.Float64() < 0.1 {
		u.joins = 2 + rng.IntN(max(w.cfg.Days-2, 1))
	}
	if rng.Float64() < 0.08 {
		from := rng.IntN(w.cfg.Days)
		u.away = [2]int{from, from + 2 + rng.IntN(8)}
	}
	if rng.Float64() < 0.08 {
		u.shift, u.shiftBy = 5+rng.IntN(max(w.cfg.Days-5, 1)), 1.7+2*rng.Float64()
	}
	u.late = 0.01
	if rng.Float64() < 0.1 {
		u.late = 0.15
	}
	u.clumsy = 0.02 + 0.06*rng.Float64()
	u.travels = 0.01
	if rng.Float64() < 0.1 {
		u.travels = 0.15
	}
	u.rolledOut = rng.IntN(5)
	return u
}

func lognormal(rng *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*rng.NormFloat64())
}

// Days is how many days there are.
func (w *World) Days() int { return w.cfg.Days }
