package vault

import (
	"errors"
	"testing"
	"time"
)

func unsaid(t *testing.T, v *Vault) int {
	t.Helper()
	far := time.Now().Add(1000 * time.Hour)
	list, err := v.ClaimUnsaid(t.Context(), 1000, far, far)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A key counts until it expires or is revoked, and its use is noted only while it counts.
func TestAPIKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		saying := func(n byte) Saying { return Saying{EventID: [16]byte{n}, At: at, Record: "{}"} }
		one := APIKey{ID: [16]byte{1}, Hash: [32]byte{1}, Role: "dpo", Tenant: "acme", Name: "ticket desk", Added: at}
		two := APIKey{ID: [16]byte{2}, Hash: [32]byte{2}, Role: "viewer", Added: at.Add(time.Second), Expires: at.Add(time.Hour)}
		for i, k := range []APIKey{one, two} {
			if added, err := v.AddAPIKey(t.Context(), k, saying(byte(i+1))); err != nil || !added {
				t.Fatal(added, err)
			}
		}
		again := one
		again.ID, again.Role = [16]byte{9}, "admin" // the same key under another name
		if added, err := v.AddAPIKey(t.Context(), again, saying(9)); err != nil || added {
			t.Fatal("a key twice", added, err)
		}
		if _, err := v.AddAPIKey(t.Context(), APIKey{}); err == nil {
			t.Error("stored a key that is none")
		}
		if n := unsaid(t, v); n != 2 {
			t.Errorf("%d things to say, want 2", n)
		}
		if list, err := v.APIKeys(t.Context()); err != nil || len(list) != 2 || list[0] != one || list[1] != two {
			t.Errorf("%+v, %v", list, err)
		}
		find := func(hash byte, now time.Time, want APIKey) {
			t.Helper()
			got, err := v.APIKey(t.Context(), [32]byte{hash}, now)
			if wanted := want.Role != ""; got != want || (err == nil) != wanted || !wanted && !errors.Is(err, ErrNotActive) {
				t.Errorf("key %d at %v: %+v, %v", hash, now, got, err)
			}
		}
		find(1, at, one)
		find(2, at.Add(time.Hour-1), two)
		find(2, at.Add(time.Hour), APIKey{})
		find(3, at, APIKey{})

		use := func(n byte, now time.Time, said byte, good bool) {
			t.Helper()
			if err := v.UseAPIKey(t.Context(), [16]byte{n}, now, saying(said)); good != (err == nil) || !good && !errors.Is(err, ErrNotActive) {
				t.Errorf("use key %d at %v: %v", n, now, err)
			}
		}
		use(1, at, 11, true)
		use(1, at.Add(time.Minute), 12, true)
		use(2, at.Add(time.Hour), 13, false)
		use(3, at, 14, false)
		one.Used = at.Truncate(time.Hour)
		find(1, at, one)
		if n := unsaid(t, v); n != 4 {
			t.Errorf("%d things to say, want 4", n)
		}
		for i, want := range []bool{true, false} {
			if revoked, err := v.RevokeAPIKey(t.Context(), one.ID, at, saying(byte(20+i))); err != nil || revoked != want {
				t.Errorf("revoke for time %d: %v, %v", i, revoked, err)
			}
		}
		find(1, at, APIKey{})
		use(1, at, 15, false)
		if revoked, err := v.RevokeAPIKey(t.Context(), [16]byte{7}, at); err != nil || revoked {
			t.Errorf("revoked what is not there: %v", err)
		}
		if n := unsaid(t, v); n != 5 {
			t.Errorf("%d things to say, want 5", n)
		}
	})
}

// What a note costs while nobody else writes: one transaction that is forced to the disk.
func BenchmarkUseAPIKey(b *testing.B) {
	for _, driver := range []string{DriverSQLite, DriverPostgres} {
		b.Run(driver, func(b *testing.B) {
			v := newVault(b, emptyDatabase(b, driver))
			now := time.Now()
			if _, err := v.AddAPIKey(b.Context(), APIKey{ID: [16]byte{1}, Hash: [32]byte{1}, Role: "viewer", Added: now}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := v.UseAPIKey(b.Context(), [16]byte{1}, now, Saying{EventID: newUUID(), At: now, Record: "{}"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
