package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/vault"
)

const (
	// strangersPerSecond bounds how often the vault is asked for keys that have not counted lately; strangersAtOnce is how many may come in a moment. A secret of 256
	// bits is not found by trying: this keeps whoever tries from keeping the vault busy. One address has a fifth of it, so that one stranger does not keep out those whose
	// keys count after a restart, when all keys are new; somebody with many addresses does.
	strangersPerSecond, strangersAtOnce = 100, 500
	// knownKeys bounds the memory for keys that counted lately.
	knownKeys = 4096
)

// guard tells who asks.
type guard struct {
	vault     *vault.Vault
	metrics   *metrics
	strangers *rate.Limiter
	addresses *addresses

	mu    sync.Mutex
	known map[[32]byte]struct{} // hashes of keys that counted when they came last; they are asked for again each time
}

func newGuard(v *vault.Vault, m *metrics) *guard {
	return &guard{vault: v, metrics: m, strangers: rate.NewLimiter(strangersPerSecond, strangersAtOnce), addresses: newAddresses(), known: map[[32]byte]struct{}{}}
}

func notAuthenticated() *failure {
	return &failure{status: http.StatusUnauthorized, detail: "an API key is needed that counts: Authorization: Bearer KEY"}
}

// authenticate returns the key of a request, as the vault knows it now.
func (g *guard) authenticate(ctx context.Context, r *http.Request) (vault.APIKey, error) {
	key, err := bearer(r)
	if err != nil {
		g.metrics.failed.WithLabelValues(failedMalformed).Inc()
		return vault.APIKey{}, notAuthenticated()
	}
	hash := key.Hash()
	if !g.isKnown(hash) && !(g.addresses.of(r.RemoteAddr).Allow() && g.strangers.Allow()) {
		g.metrics.failed.WithLabelValues(failedLimited).Inc()
		return vault.APIKey{}, &failure{status: http.StatusTooManyRequests, detail: "too many keys that do not count were tried, try again", retryAfter: 1}
	}
	found, err := g.vault.APIKey(ctx, hash, time.Now())
	if errors.Is(err, vault.ErrNotActive) {
		g.metrics.failed.WithLabelValues(failedUnknown).Inc()
		g.set(hash, false)
		return vault.APIKey{}, notAuthenticated()
	}
	if err != nil {
		return vault.APIKey{}, err
	}
	g.set(hash, true)
	return found, nil
}

func bearer(r *http.Request) (apikey.Key, error) {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return apikey.Key{}, apikey.ErrNoKey
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return apikey.Key{}, apikey.ErrNoKey
	}
	return apikey.Parse(text)
}

func (g *guard) isKnown(hash [32]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.known[hash]
	return ok
}

func (g *guard) set(hash [32]byte, counts bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !counts {
		delete(g.known, hash)
		return
	}
	if len(g.known) >= knownKeys {
		clear(g.known)
	}
	g.known[hash] = struct{}{}
}
