package vault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// reportCPU adds the process's CPU time per operation, which says more than the clock on a machine that does other things too.
func reportCPU(b *testing.B) {
	started := cpuTime()
	b.Cleanup(func() { b.ReportMetric(float64(cpuTime()-started)/float64(b.N), "cpu-ns/op") })
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkSubjects measures people per second, in batches as ingest makes them: strangers (a transaction each batch) and those who are known.
func BenchmarkSubjects(b *testing.B) {
	const batch = 1000
	for _, driver := range []string{DriverSQLite, DriverPostgres} {
		b.Run(driver, func(b *testing.B) {
			v := newVault(b, emptyDatabase(b, driver))
			serial := 0
			each := func(b *testing.B, ids func() []Identity) {
				started := cpuTime()
				for b.Loop() {
					subjectsOf(b, v, ids()...)
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "subjects/s")
				b.ReportMetric(float64((cpuTime()-started).Microseconds())/float64(b.N*batch), "cpu-µs/subject")
			}
			b.Run("new", func(b *testing.B) {
				each(b, func() []Identity {
					serial += batch
					return people(serial, batch)
				})
			})
			b.Run("known", func(b *testing.B) {
				known := 0
				each(b, func() []Identity {
					known = known%serial + batch
					return people(known, batch)
				})
			})
		})
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(new([32]byte))
	tenant, user := []byte("acme"), []byte("3f2b8c1e-user-4711@example.com")
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		h.Hash(tenant, user)
	}
}

func BenchmarkUnwrap(b *testing.B) {
	w := newWrapper(1, new([kekBytes]byte))
	place := make([]byte, 64)
	wrapped := w.wrap(purposeSubjectKeys, place, make([]byte, 64))
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		if _, err := w.unwrap(purposeSubjectKeys, place, wrapped); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCacheGet measures Get at random among so many subjects, from so many goroutines.
func BenchmarkCacheGet(b *testing.B) {
	for _, subjects := range []int{1000, 1_000_000} {
		c, keys := filledCache(b, subjects)
		for _, goroutines := range []int{1, 2, 8} {
			b.Run(fmt.Sprintf("subjects=%d/goroutines=%d", subjects, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				reportCPU(b)
				b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
				var seed atomic.Uint64
				get := func(next func() bool) {
					var got CachedSubject
					n := int(seed.Add(1)) * 7919
					for next() {
						n++ // the keys are shuffled: reading them in order costs no cache misses of its own
						if !c.Get(keys[n%len(keys)], &got) {
							b.Error("not there")
							return
						}
					}
				}
				if goroutines == 1 {
					get(b.Loop)
					return
				}
				b.RunParallel(func(pb *testing.PB) { get(pb.Next) })
			})
		}
	}
}

// BenchmarkCacheMemory measures the live heap that a subject costs, with a million of them.
func BenchmarkCacheMemory(b *testing.B) {
	const subjects = 1_000_000
	for b.Loop() {
		before := liveHeap()
		c, _ := filledCache(b, subjects)
		after := liveHeap()
		b.ReportMetric(float64(after-before)/1e6, "MB")
		b.ReportMetric(float64(after-before)/float64(c.Len()), "B/subject")
		started := time.Now()
		runtime.GC()
		b.ReportMetric(float64(time.Since(started).Microseconds()), "µs/GC")
		runtime.KeepAlive(c)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// filledCache returns a cache with a lease that lasts, and the subjects' hashes.
func filledCache(b *testing.B, subjects int) (*Cache, []LookupHash) {
	b.Helper()
	c, err := NewCache(&Vault{}, CacheConfig{MaxSubjects: max(minSubjects, subjects), Lease: 24 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	c.lease.extend(c.lease.now())
	hasher := newHasher(new([32]byte))
	keys := make([]LookupHash, 0, subjects)
	for n := range subjects {
		h := hasher.identity(Identity{Tenant: "acme", User: fmt.Sprint(n)})
		c.slab.put(slabKey(h[:16]), cached(uint64(n)))
		keys = append(keys, h)
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	keys = slices.DeleteFunc(keys, func(h LookupHash) bool { return !c.slab.has(slabKey(h[:16])) })
	return c, keys
}

// BenchmarkDropFromMillion measures what an erasure costs the cache.
func BenchmarkDropFromMillion(b *testing.B) {
	c, _ := filledCache(b, 1_000_000)
	ids := map[gdpr.SubjectID]struct{}{{1, 2, 3}: {}}
	for b.Loop() {
		c.slab.drop(ids)
	}
}

// BenchmarkDestroy measures an erasure in a vault of some size.
func BenchmarkDestroy(b *testing.B) {
	for _, driver := range []string{DriverSQLite, DriverPostgres} {
		b.Run(driver, func(b *testing.B) {
			v := newVault(b, emptyDatabase(b, driver))
			subjects := subjectsOf(b, v, people(0, 20_000)...)
			n := 0
			for b.Loop() {
				if err := v.Destroy(context.Background(), subjects[n%len(subjects)].ID); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}
