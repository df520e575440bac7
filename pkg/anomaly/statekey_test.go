package anomaly

import (
	"testing"

	"pgregory.net/rapid"
)

func TestStateKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Key{Kind: rapid.SampledFrom(stateKinds[1:]).Draw(t, "kind"), Tenant: rapid.StringN(0, 50, 200).Draw(t, "tenant"), Entity: rapid.StringN(0, 50, 200).Draw(t, "entity")}
		copy(k.Subject[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "subject"))
		b := k.Append(nil)
		if got, err := ParseKey(b); err != nil || got != k {
			t.Fatalf("%+v, %v", got, err)
		}
		for n := range b {
			if _, err := ParseKey(b[:n]); err == nil {
				t.Fatalf("accepted %d of %d bytes", n, len(b))
			}
		}
		if _, err := ParseKey(append(b, 0)); err == nil {
			t.Fatal("accepted with a byte behind it")
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add((&Key{Kind: StateAgent, Tenant: "acme", Entity: "bot"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			return
		}
		again, err := ParseKey(k.Append(nil))
		if err != nil || again != k {
			t.Fatalf("%+v came back as %+v, %v", k, again, err)
		}
	})
}
