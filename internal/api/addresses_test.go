package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/apikey"
)

func TestPrefixOf(t *testing.T) {
	same := func(want bool, a, b string) {
		t.Helper()
		if got := prefixOf(a) == prefixOf(b); got != want {
			t.Errorf("%s and %s: %v", a, b, got)
		}
	}
	same(true, "192.0.2.1:1", "192.0.2.1:2")
	same(false, "192.0.2.1:1", "192.0.2.2:1")
	same(true, "192.0.2.1:1", "[::ffff:192.0.2.1]:1")
	same(true, "[2001:db8::1]:1", "[2001:db8::2:3:4:5]:9")
	same(false, "[2001:db8::1]:1", "[2001:db8:0:1::1]:1")
	same(true, "[fe80::1%eth0]:1", "[fe80::1%eth1]:1")
	same(true, "@", "")
	same(false, "@", "192.0.2.1:1")
}

// One stranger uses up his own rate and nobody else's, and is not forgotten for some thousands of others.
func TestOneStrangerDoesNotKeepOthersOut(t *testing.T) {
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(nil, metrics)
	try := func(remote string) bool { // as authenticate does it
		return g.addresses.of(remote).Allow() && g.strangers.Allow()
	}
	refused := 0
	for range 3 * perAddressAtOnce {
		if !try("192.0.2.1:7") {
			refused++
		}
	}
	if refused < perAddressAtOnce {
		t.Errorf("%d of %d refused", refused, 3*perAddressAtOnce)
	}
	if !try("192.0.2.2:7") {
		t.Error("another address is kept out")
	}
	for i := range addressesKept - 2 {
		g.addresses.of(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if g.addresses.of("192.0.2.1:7").Tokens() > perAddressAtOnce/2 {
		t.Error("it was forgotten")
	}
	for range perAddressAtOnce {
		g.addresses.of("192.0.2.9:1").Allow()
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	request.RemoteAddr = "192.0.2.9:1"
	request.Header.Set("Authorization", "Bearer "+apikey.New().Reveal())
	var f *failure
	if _, err := g.authenticate(t.Context(), request); !errors.As(err, &f) || f.status != http.StatusTooManyRequests {
		t.Errorf("%v", err)
	}
}

// However many addresses come, and at once, the table is bounded.
func TestAddressesAreBounded(t *testing.T) {
	a := newAddresses()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 3 * addressesKept {
				a.of(fmt.Sprintf("[2001:db8:%x:%x::1]:1", worker, i))
			}
		})
	}
	wg.Wait()
	if n := len(a.newer) + len(a.before); n > 2*addressesKept {
		t.Errorf("%d are kept", n)
	}
}
