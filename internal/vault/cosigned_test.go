package vault

import (
	"slices"
	"testing"
)

func TestCosigned(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		const log = "agent.events/3"
		check := func(want ...Cosigned) {
			t.Helper()
			if got, err := v.Cosigned(t.Context(), log); err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
		keep := func(c Cosigned) {
			t.Helper()
			if err := v.KeepCosigned(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		check()
		a, b := Cosigned{log, "a+00000001", 5, "note 5", at}, Cosigned{log, "b+00000001", 4, "note 4", at}
		keep(b)
		keep(a)
		keep(Cosigned{"agent.events/4", "a+00000001", 9, "note 9", at})
		check(a, b)
		keep(Cosigned{log, "a+00000001", 4, "an older one that was slow", at})
		check(a, b)
		a.Note = "note 5, signed again"
		keep(a)
		check(a, b)
		a.Size, a.Note = 1<<40, "note of many"
		keep(a)
		check(a, b)
		for _, size := range []uint64{0, 1 << 63} {
			if err := v.KeepCosigned(t.Context(), Cosigned{Log: log, Witness: "a", Size: size, At: at}); err == nil {
				t.Errorf("accepted %d entries", size)
			}
		}
	})
}
