package chain

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

type prunedVector struct {
	Name       string   `json:"name"`
	Keys       []string `json:"keys"`
	Deployment string   `json:"deployment"`
	Log        string   `json:"log"`
	What       string   `json:"what"`
	Behind     uint64   `json:"behind"`
	Leaf       string   `json:"leaf"`
	Root       string   `json:"root"`
	Next       int64    `json:"next"`
	Epoch      uint32   `json:"epoch"`
	Pruned     string   `json:"pruned"`
}

func TestPrunedVectors(t *testing.T) {
	k := newVectorKeys(t)
	first, next, other, witness := k.vkeys[0], k.vkeys[1], k.vkeys[3], k.vkeys[4]
	// The tree is that of trees.json: leaf n is the hash of n in decimal digits.
	tree := newKept()
	for n := range 512 {
		tree.append(t, LeafHash(fmt.Append(nil, n)))
	}
	record := Pruned{
		Deployment: "audit.example.com/prod", Log: "agent.events/3", What: PrunedEntries, Behind: 512,
		Leaf: LeafHash([]byte("511")), Root: tree.tree.Root(), Next: 4711, Epoch: 202603,
	}

	var vectors []prunedVector
	add := func(name string, change func(*Pruned), keys []string, signers ...note.Signer) {
		p := record
		change(&p)
		vectors = append(vectors, prunedVector{
			Name: name, Keys: keys, Deployment: p.Deployment, Log: p.Log, What: p.What, Behind: p.Behind, Leaf: p.Leaf.String(), Root: p.Root.String(),
			Next: p.Next, Epoch: p.Epoch, Pruned: sign(t, p.Text(), signers...),
		})
	}
	asItIs := func(*Pruned) {}
	add("entries, as few as can go", asItIs, []string{first}, k.first)
	add("two keys have signed, both are known", asItIs, []string{first, next}, k.first, k.next)
	add("two keys have signed, the second is known", asItIs, []string{next}, k.first, k.next)
	add("a signature line of somebody unknown below", asItIs, []string{first}, k.first, k.witness)
	add("entries of a successor, as many as can go", func(p *Pruned) {
		p.Log, p.Behind, p.Next, p.Epoch = "agent.events/3.12", 1<<63-TileWidth, 1<<63-1, 999912
	}, []string{first}, k.first)
	add("contents, which go to any entry", func(p *Pruned) { p.What, p.Behind, p.Next = PrunedContents, 2, 0 }, []string{first}, k.first)
	golden(t, "prunes.json", vectors)
	for _, v := range vectors {
		// What was signed, with note alone.
		n, err := note.Open([]byte(v.Pruned), verifierList(t, v.Keys))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		lines := strings.Split(n.Text, "\n")
		leaf, leafErr := base64.StdEncoding.DecodeString(lines[3])
		root, rootErr := base64.StdEncoding.DecodeString(lines[4])
		if leafErr != nil || rootErr != nil || len(lines) != 7 || lines[0] != "agentaudit/prune/v1" || lines[1] != v.Deployment+"/"+v.Log || lines[6] != "" ||
			lines[2] != fmt.Sprint(v.What, " ", v.Behind) || hex.EncodeToString(leaf) != v.Leaf || hex.EncodeToString(root) != v.Root || lines[5] != fmt.Sprint(v.Next, " ", v.Epoch) {
			t.Errorf("%s: says %q", v.Name, n.Text)
		}
		want := Pruned{Deployment: v.Deployment, Log: v.Log, What: v.What, Behind: v.Behind, Leaf: parseHash(t, v.Leaf), Root: parseHash(t, v.Root), Next: v.Next, Epoch: v.Epoch}
		if p, err := OpenPruned([]byte(v.Pruned), verifierList(t, v.Keys)); err != nil || p != want {
			t.Errorf("%s: %+v, %v", v.Name, p, err)
		}
	}

	good := sign(t, record.Text(), k.first)
	var refused []refusal
	refuse := func(name, signed string, keys ...string) {
		t.Helper()
		p, err := OpenPruned([]byte(signed), verifierList(t, keys))
		if err == nil {
			t.Fatalf("%s: opened as %+v", name, p)
		}
		refused = append(refused, refusal{Name: name, Keys: keys, Reason: err.Error(), Pruned: signed})
	}
	changed := func(text, from, to string) string {
		t.Helper()
		if !strings.Contains(text, from) {
			t.Fatalf("%q does not occur", from)
		}
		return strings.Replace(text, from, to, 1)
	}
	refuse("no known key has signed", sign(t, record.Text(), k.stranger, k.witness), first, next)
	refuse("only a witness has signed, whose key is known", sign(t, record.Text(), k.witness), witness)
	refuse("signed by another deployment, whose key is known", sign(t, record.Text(), k.other), first, other)
	refuse("one bit of the signature changed", changed(good, signatureOf(t, good), flip(t, signatureOf(t, good))), first)
	refuse("more entries than were signed", changed(good, "entries 512\n", "entries 768\n"), first)
	refuse("log changed", changed(good, "agent.events/3\n", "agent.events/4\n"), first)
	refuse("lines that end with CR LF", strings.ReplaceAll(good, "\n", "\r\n"), first)
	refuse("only the text", record.Text(), first)
	refuse("nothing", "", first)
	point := Checkpoint{Deployment: record.Deployment, Log: record.Log, Size: record.Behind, Root: record.Root}
	refuse("signed: a checkpoint", sign(t, point.Text(), k.first), first)
	root := base64.StdEncoding.EncodeToString(record.Root[:])
	for _, one := range []struct{ name, from, to string }{
		{"another version", "/v1\n", "/v2\n"},
		{"no log in the second line", "/agent.events/3\n", "\n"},
		{"what is neither entries nor contents", "entries", "tiles"},
		{"entries, none", "512", "256"},
		{"entries, no whole bundles", "512", "513"},
		{"contents, none", "entries 512", "contents 1"},
		{"an entry with a leading zero", "512", "0512"},
		{"an entry beyond 2^63-1", "512", "9223372036854775808"},
		{"two spaces", "entries 512", "entries  512"},
		{"a root with one of the unused bits of base64 set", root, unusedBit(t, root)},
		{"a root of 31 bytes", root, base64.StdEncoding.EncodeToString(record.Root[:31])},
		{"a negative offset", "4711", "-1"},
		{"an epoch that is no month", "202603", "202613"},
		{"epoch 0", "202603", "0"},
		{"a line more", " 202603\n", " 202603\nmore\n"},
		{"a line less", "\n4711 202603\n", "\n"},
	} {
		refuse("signed: "+one.name, sign(t, changed(record.Text(), one.from, one.to), k.first), first)
	}
	golden(t, "prunes-refused.json", refused)
	for _, v := range refused {
		if strings.HasPrefix(v.Name, "signed: ") {
			if _, err := note.Open([]byte(v.Pruned), verifierList(t, v.Keys)); err != nil {
				t.Errorf("%s, but %v", v.Name, err)
			}
		}
	}
}
