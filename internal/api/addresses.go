package api

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// perAddress and perAddressAtOnce bound how often one address may bring keys that have not counted lately. Clients behind one proxy share it.
	perAddress, perAddressAtOnce = 20, 100
	// addressesKept bounds the table: at most twice as many are remembered, some 100 bytes each.
	addressesKept = 4096
)

// addresses has a limiter for each address that came lately. The table is bounded: when a half is full, the older half is forgotten, so an address is forgotten no
// sooner than after as many others. Whoever has so many needs no new limiter.
type addresses struct {
	mu            sync.Mutex
	newer, before map[netip.Prefix]*rate.Limiter
}

func newAddresses() *addresses { return &addresses{newer: map[netip.Prefix]*rate.Limiter{}} }

// of returns the limiter of a remote address, host:port. What cannot be read shares one.
func (a *addresses) of(remote string) *rate.Limiter {
	at := prefixOf(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	if limiter, ok := a.newer[at]; ok {
		return limiter
	}
	limiter, ok := a.before[at]
	if !ok {
		limiter = rate.NewLimiter(perAddress, perAddressAtOnce)
	}
	if len(a.newer) >= addressesKept {
		a.before, a.newer = a.newer, make(map[netip.Prefix]*rate.Limiter, addressesKept)
	}
	a.newer[at] = limiter
	return limiter
}

// prefixOf is whose address it is: of IPv6, where everybody has 2^64 addresses, the network.
func prefixOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	address, bits := at.Addr().Unmap().WithZone(""), 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
