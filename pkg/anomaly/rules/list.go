package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// List is a named list of a rules file: words, patterns with * and ?, IP addresses and networks. Conditions ask `x in lists.name`. It is immutable.
type List struct {
	entries  int
	words    map[string]struct{}
	globs    []glob
	networks map[netip.Prefix]struct{}
	lengths  []int // of the networks' prefixes, IPv4 as it stands in IPv6
}

// add takes one entry. An IP address is a network of one.
func (l *List) add(entry string) error {
	switch {
	case entry == "":
		return errors.New("an entry is empty")
	case len(entry) > maxEntryBytes:
		return fmt.Errorf("an entry of %d bytes, at most %d expected", len(entry), maxEntryBytes)
	case l.entries == maxListEntries:
		return fmt.Errorf("more than %d entries", maxListEntries)
	}
	l.entries++
	if prefix, ok := parseNetwork(entry); ok {
		prefix = inIPv6(prefix)
		if l.networks == nil {
			l.networks = map[netip.Prefix]struct{}{}
		}
		l.networks[prefix] = struct{}{}
		l.note(prefix.Bits())
		return nil
	}
	if isGlob(entry) {
		if len(l.globs) == maxGlobs {
			return fmt.Errorf("more than %d entries with * or ?", maxGlobs)
		}
		l.globs = append(l.globs, newGlob(entry))
		return nil
	}
	if l.words == nil {
		l.words = map[string]struct{}{}
	}
	l.words[entry] = struct{}{}
	return nil
}

func (l *List) note(bits int) {
	for _, known := range l.lengths {
		if known == bits {
			return
		}
	}
	l.lengths = append(l.lengths, bits)
}

// has tells whether an entry fits the text. It is safe for concurrent use, and allocates only where the list has networks.
func (l *List) has(text []byte) bool {
	if _, ok := l.words[string(text)]; ok {
		return true
	}
	for i := range l.globs {
		if l.globs[i].matches(text) {
			return true
		}
	}
	if len(l.networks) == 0 || len(text) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return false
	}
	addr = netip.AddrFrom16(addr.As16())
	for _, bits := range l.lengths {
		if prefix, err := addr.Prefix(bits); err == nil {
			if _, ok := l.networks[prefix]; ok {
				return true
			}
		}
	}
	return false
}

// parseNetwork takes 10.0.0.0/8 and 10.1.2.3.
func parseNetwork(text string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

// inIPv6 makes one address space of two: producers write 10.1.2.3 or ::ffff:10.1.2.3.
func inIPv6(p netip.Prefix) netip.Prefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return netip.PrefixFrom(netip.AddrFrom16(p.Addr().As16()), bits).Masked()
}

// listType is what CEL knows of a List: that `in` may ask it.
var listType = types.NewObjectType("agentaudit.List", traits.ContainerType)

var _ traits.Container = (*List)(nil)

// Contains is `in`.
func (l *List) Contains(value ref.Val) ref.Val {
	text, ok := value.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	return types.Bool(l.has([]byte(text)))
}

// ConvertToNative is part of CEL's values; a list has no other form.
func (l *List) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a list of rules has no other form")
}

// ConvertToType is part of CEL's values.
func (l *List) ConvertToType(ref.Type) ref.Val {
	return types.NewErr("a list of rules has no other type")
}

// Equal is part of CEL's values.
func (l *List) Equal(other ref.Val) ref.Val { return types.Bool(other == ref.Val(l)) }

// Type is part of CEL's values.
func (l *List) Type() ref.Type { return listType }

// Value is part of CEL's values.
func (l *List) Value() any { return l }
