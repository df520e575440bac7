package events

import "testing"

func TestKey(t *testing.T) {
	f := func(tenant, user, want string) {
		t.Helper()
		if got := Key(nil, tenant, user); string(got) != want {
			t.Errorf("key %q, want %q", got, want)
		}
		if !KeyMatches([]byte(want), []byte(tenant), []byte(user)) {
			t.Errorf("%q does not match", want)
		}
		for _, other := range []string{"", "/", want + "x", "x" + want, want[1:], want[:len(want)-1]} {
			if other != want && KeyMatches([]byte(other), []byte(tenant), []byte(user)) {
				t.Errorf("%q matches %q and %q", other, tenant, user)
			}
		}
	}
	f("acme", "u-1", "acme/u-1")
	f("acme", "", "acme/")
	f("acme", "a/b", "acme/a/b")
}
