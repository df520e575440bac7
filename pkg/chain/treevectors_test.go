package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The vectors of trees, checkpoints and proofs are made anew by each run and must be what the files hold, byte for byte. Then they are checked by
// golang.org/x/mod/sumdb, which shares nothing with how they were made but SHA-256 and Ed25519.

type keyVector struct {
	Name string `json:"name"`
	Seed string `json:"seed"`
	VKey string `json:"vkey"`
}

type treeVector struct {
	Name  string            `json:"name"`
	Size  uint64            `json:"size"`
	Root  string            `json:"root"`
	Tiles []treeVectorTiles `json:"tiles"`
}

type treeVectorTiles struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Root   string `json:"root"`
}

type checkpointVector struct {
	Name       string   `json:"name"`
	Keys       []string `json:"keys"`
	Deployment string   `json:"deployment"`
	Log        string   `json:"log"`
	Size       uint64   `json:"size"`
	Root       string   `json:"root"`
	SignedBy   []string `json:"signed_by"`
	Checkpoint string   `json:"checkpoint"`
}

type proofVector struct {
	Name  string   `json:"name"`
	Keys  []string `json:"keys"`
	Log   string   `json:"log"`
	Seq   uint64   `json:"seq"`
	Size  uint64   `json:"size"`
	Root  string   `json:"root"`
	Entry string   `json:"entry"`
	Proof string   `json:"proof"`
}

// refusal is what must be refused, and what our own verifier says of it.
type refusal struct {
	Name       string   `json:"name"`
	Keys       []string `json:"keys"`
	Reason     string   `json:"reason"`
	Checkpoint string   `json:"checkpoint,omitempty"`
	Proof      string   `json:"proof,omitempty"`
	Pruned     string   `json:"pruned,omitempty"`
}

// golden makes a file of vectors what the test has made, with -update; without, it fails where they differ.
func golden(t *testing.T, file string, vectors any) {
	t.Helper()
	path := filepath.Join("../../schemas/vectors/tree", file)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	made := strings.NewReplacer(`},{"name"`, "},\n{\"name\"", `[{"path"`, "[\n  {\"path\"", `},{"path"`, "},\n  {\"path\"").Replace(text.String())
	if *update {
		if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(held) != made {
		at := 0
		for at < min(len(held), len(made)) && held[at] == made[at] {
			at++
		}
		t.Errorf("%s differs from what is made today, from byte %d on: %.200s", file, at, made[min(at, len(made)):])
	}
}

// vectorKey is a key of a fixed seed, 32 times one byte, and how a verifier writes it. The form is spelled out here: C2SP signed-note.
func vectorKey(t *testing.T, name string, seed byte) (note.Signer, keyVector) {
	t.Helper()
	secret := bytes.Repeat([]byte{seed}, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	id := sha256.Sum256(slices.Concat([]byte(name+"\n\x01"), public))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(append([]byte{1}, secret...))))
	if err != nil {
		t.Fatal(err)
	}
	return signer, keyVector{Name: name, Seed: hex.EncodeToString(secret), VKey: fmt.Sprintf("%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(append([]byte{1}, public...)))}
}

// vectorKeys are those that vectors are signed with.
type vectorKeys struct {
	first, next, stranger, other, witness note.Signer
	vkeys                                 []string // in that order
	list                                  []keyVector
}

func newVectorKeys(t *testing.T) *vectorKeys {
	t.Helper()
	k := new(vectorKeys)
	for i, one := range []struct {
		signer *note.Signer
		name   string
	}{
		{&k.first, "audit.example.com/prod"}, {&k.next, "audit.example.com/prod"}, {&k.stranger, "audit.example.com/prod"},
		{&k.other, "audit.example.com/test"}, {&k.witness, "witness.example.org"},
	} {
		signer, vector := vectorKey(t, one.name, byte(i+1))
		*one.signer = signer
		k.vkeys, k.list = append(k.vkeys, vector.VKey), append(k.list, vector)
	}
	return k
}

func verifierList(t *testing.T, vkeys []string) note.Verifiers {
	t.Helper()
	var list []note.Verifier
	for _, vkey := range vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, verifier)
	}
	return note.VerifierList(list...)
}

func sign(t *testing.T, text string, signers ...note.Signer) string {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func TestTreeVectors(t *testing.T) {
	leafOf := func(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }
	var vectors []treeVector
	k := newKept()
	add := func(size uint64) {
		for k.tree.Size() < size {
			k.append(t, LeafHash(leafOf(k.tree.Size())))
		}
		v := treeVector{Name: fmt.Sprintf("%d leaves", size), Size: size, Root: k.tree.Root().String(), Tiles: []treeVectorTiles{}}
		places := PartialTiles(size)
		for level := 0; size>>(TileHeight*(level+1)) > 0; level++ {
			last := size>>(TileHeight*(level+1)) - 1
			places = append(places, TilePlace{level, 0, TileWidth})
			if last > 0 {
				places = append(places, TilePlace{level, last, TileWidth})
			}
		}
		slices.SortFunc(places, func(a, b TilePlace) int { return strings.Compare(a.Path(), b.Path()) })
		for _, place := range places {
			hashes := k.full[place]
			if place.Width < TileWidth {
				hashes = k.tree.Partial(place.Level)
			}
			root, err := TileRoot(hashes)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(hashes)
			v.Tiles = append(v.Tiles, treeVectorTiles{Path: place.Path(), SHA256: hex.EncodeToString(sum[:]), Root: root.String()})
		}
		vectors = append(vectors, v)
	}
	for _, size := range []uint64{0, 1, 2, 3, 255, 256, 257, 511, 65536, 65536 + 1} {
		add(size)
	}
	golden(t, "trees.json", vectors)

	// The same with tlog: it keeps hashes in another order and knows nothing of our Tree.
	var stored hashes
	for _, v := range vectors {
		for n := uint64(0); n < v.Size; n++ {
			if tlog.StoredHashIndex(0, int64(n)) < int64(len(stored)) {
				continue
			}
			more, err := tlog.StoredHashes(int64(n), leafOf(n), stored)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, more...)
		}
		root, err := tlog.TreeHash(int64(v.Size), stored)
		if err != nil || v.Size > 0 && hex.EncodeToString(root[:]) != v.Root {
			t.Errorf("%s: tlog.TreeHash gives %x, %v; want %s", v.Name, root, err, v.Root)
		}
		for _, tile := range v.Tiles {
			// Its own paths begin with the height.
			place, err := tlog.ParseTilePath("tile/8/" + strings.TrimPrefix(tile.Path, "tile/"))
			if err != nil {
				t.Fatal(err)
			}
			content, err := tlog.ReadTileData(place, stored)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != tile.SHA256 {
				t.Errorf("%s: %s is another tile", v.Name, tile.Path)
			}
			if root := subtree(content); hex.EncodeToString(root[:]) != tile.Root {
				t.Errorf("%s: %s has root %x", v.Name, tile.Path, root)
			}
		}
	}
	if nothing := sha256.Sum256(nil); vectors[0].Root != hex.EncodeToString(nothing[:]) {
		t.Errorf("root of the empty tree: %s", vectors[0].Root)
	}
}

// subtree is MTH of RFC 6962, 2.1, as it is written there, over nodes.
func subtree(nodes []byte) tlog.Hash {
	n := len(nodes) / HashBytes
	if n == 1 {
		return tlog.Hash(nodes)
	}
	split := 1
	for 2*split < n {
		split *= 2
	}
	return tlog.NodeHash(subtree(nodes[:split*HashBytes]), subtree(nodes[split*HashBytes:]))
}

func TestCheckpointVectors(t *testing.T) {
	k := newVectorKeys(t)
	golden(t, "keys.json", k.list)
	point := Checkpoint{Deployment: "audit.example.com/prod", Log: "agent.events/3", Size: 257, Root: LeafHash([]byte("root"))}
	first, next, stranger, other, witness := k.vkeys[0], k.vkeys[1], k.vkeys[2], k.vkeys[3], k.vkeys[4]

	var vectors []checkpointVector
	add := func(name string, c Checkpoint, signed string, signedBy []string, keys ...string) {
		vectors = append(vectors, checkpointVector{Name: name, Keys: keys, Deployment: c.Deployment, Log: c.Log, Size: c.Size, Root: c.Root.String(), SignedBy: signedBy, Checkpoint: signed})
	}
	both := sign(t, point.Text(), k.first, k.next)
	add("one key", point, sign(t, point.Text(), k.first), []string{first}, first)
	add("a second key is known that has not signed", point, sign(t, point.Text(), k.first), []string{first}, next, first)
	add("two keys have signed, both are known", point, both, []string{first, next}, first, next)
	add("two keys have signed, the first is known", point, both, []string{first}, first)
	add("two keys have signed, the second is known", point, both, []string{next}, next)
	add("a signature line of somebody unknown below", point, sign(t, point.Text(), k.first, k.witness), []string{first}, first)
	add("a signature line of somebody unknown above", point, sign(t, point.Text(), k.witness, k.first), []string{first}, first)
	add("the same signature of a known key twice counts once", point, both[:len(both)-1]+"\n"+signatureLines(both), []string{first, next}, first, next)
	reopened := Checkpoint{Deployment: "audit.example.com/prod", Log: "agent.events/3.12", Size: 1<<63 - 1, Root: LeafHash(nil)}
	add("a successor log, and the most entries that there can be", reopened, sign(t, reopened.Text(), k.next), []string{next}, next)
	golden(t, "checkpoints.json", vectors)

	for _, v := range vectors {
		// What was signed, with note and tlog alone.
		n, err := note.Open([]byte(v.Checkpoint), verifierList(t, v.Keys))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		lines := strings.Split(n.Text, "\n")
		root, err := base64.StdEncoding.DecodeString(lines[2])
		if err != nil || len(lines) != 4 || lines[0] != v.Deployment+"/"+v.Log || lines[1] != fmt.Sprint(v.Size) || hex.EncodeToString(root) != v.Root || lines[3] != "" {
			t.Errorf("%s: says %q", v.Name, n.Text)
		}
		c, signatures, err := OpenCheckpoint([]byte(v.Checkpoint), verifierList(t, v.Keys))
		if err != nil || c != (Checkpoint{Deployment: v.Deployment, Log: v.Log, Size: v.Size, Root: parseHash(t, v.Root)}) {
			t.Errorf("%s: %+v, %v", v.Name, c, err)
		}
		var by []string
		for _, s := range signatures {
			for _, vkey := range k.vkeys {
				if strings.HasPrefix(vkey, fmt.Sprintf("%s+%08x+", s.Name, s.Hash)) {
					by = append(by, vkey)
				}
			}
		}
		if !slices.Equal(by, v.SignedBy) {
			t.Errorf("%s: signed by %v", v.Name, by)
		}
	}

	good := sign(t, point.Text(), k.first)
	var refused []refusal
	refuse := func(name, signed string, keys ...string) {
		t.Helper()
		c, _, err := OpenCheckpoint([]byte(signed), verifierList(t, keys))
		if err == nil {
			t.Fatalf("%s: opened as %+v", name, c)
		}
		refused = append(refused, refusal{Name: name, Keys: keys, Reason: err.Error(), Checkpoint: signed})
	}
	replaced := func(old, by string) string {
		t.Helper()
		if strings.Count(good, old) == 0 {
			t.Fatalf("%q does not occur", old)
		}
		return strings.Replace(good, old, by, 1)
	}
	refuse("no known key has signed", sign(t, point.Text(), k.stranger, k.witness), first, next)
	refuse("only a witness has signed, whose key is known", sign(t, point.Text(), k.witness), witness)
	refuse("signed by another deployment, whose key is known", sign(t, point.Text(), k.other), first, other)
	refuse("the key id is known, the signature is that of another key", replaced(signatureOf(t, good), signatureOf(t, sign(t, point.Text(), k.stranger))), first, stranger)
	refuse("one bit of the signature changed", replaced(signatureOf(t, good), flip(t, signatureOf(t, good))), first)
	refuse("a good signature, and a wrong one of another known key", good+signatureLines(strings.Replace(sign(t, point.Text(), k.next), signatureOf(t, sign(t, point.Text(), k.next)), flip(t, signatureOf(t, sign(t, point.Text(), k.next))), 1)), first, next)
	refuse("size changed", replaced("\n257\n", "\n256\n"), first)
	refuse("root changed", replaced(base64.StdEncoding.EncodeToString(point.Root[:]), base64.StdEncoding.EncodeToString(reopened.Root[:])), first)
	refuse("log changed", replaced("agent.events/3\n", "agent.events/4\n"), first)
	refuse("deployment changed in the first line", replaced("audit.example.com/prod/agent", "audit.example.com/test/agent"), first, other)
	refuse("lines that end with CR LF", strings.ReplaceAll(good, "\n", "\r\n"), first)
	refuse("the last line end is missing", strings.TrimSuffix(good, "\n"), first)
	refuse("no signature", point.Text()+"\n", first)
	refuse("only the text", point.Text(), first)
	refuse("nothing", "", first)
	root := base64.StdEncoding.EncodeToString(point.Root[:])
	for _, one := range []struct{ name, text string }{
		{"signed: no log in the first line", "audit.example.com/prod\n257\n" + root + "\n"},
		{"signed: a partition that is no number", "audit.example.com/prod/agent.events/x\n257\n" + root + "\n"},
		{"signed: a partition with a leading zero", "audit.example.com/prod/agent.events/03\n257\n" + root + "\n"},
		{"signed: an empty log", "audit.example.com/prod/agent.events/3\n0\n" + root + "\n"},
		{"signed: size with a leading zero", "audit.example.com/prod/agent.events/3\n0257\n" + root + "\n"},
		{"signed: a negative size", "audit.example.com/prod/agent.events/3\n-257\n" + root + "\n"},
		{"signed: size beyond 2^63-1", "audit.example.com/prod/agent.events/3\n9223372036854775808\n" + root + "\n"},
		{"signed: a root of 31 bytes", "audit.example.com/prod/agent.events/3\n257\n" + base64.StdEncoding.EncodeToString(point.Root[:31]) + "\n"},
		{"signed: a root without its padding", "audit.example.com/prod/agent.events/3\n257\n" + strings.TrimRight(root, "=") + "\n"},
		{"signed: a root with one of the unused bits of base64 set", "audit.example.com/prod/agent.events/3\n257\n" + unusedBit(t, root) + "\n"},
		{"signed: a line below the root", "audit.example.com/prod/agent.events/3\n257\n" + root + "\nmore\n"},
		{"signed: no root", "audit.example.com/prod/agent.events/3\n257\n"},
	} {
		refuse(one.name, sign(t, one.text, k.first), first)
	}
	golden(t, "checkpoints-refused.json", refused)
	for _, v := range refused {
		if strings.HasPrefix(v.Name, "signed: ") {
			if _, err := note.Open([]byte(v.Checkpoint), verifierList(t, v.Keys)); err != nil {
				t.Errorf("%s, but %v", v.Name, err)
			}
		}
	}
}

// signatureLines are the lines below the empty one.
func signatureLines(signed string) string {
	_, lines, _ := strings.Cut(signed, "\n\n")
	return lines
}

// signatureOf is the signature itself, without the key id, of a note with one.
func signatureOf(t *testing.T, signed string) string {
	t.Helper()
	line := strings.Fields(signatureLines(signed))
	raw, err := base64.StdEncoding.DecodeString(line[2])
	if err != nil {
		t.Fatal(err)
	}
	// Four bytes of id are 5 1/3 characters: from the seventh on they are the signature's alone.
	if binary.BigEndian.Uint32(raw) == 0 {
		t.Fatal("no key id")
	}
	return line[2][6:]
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// flip changes one bit of what stands in base64.
func flip(t *testing.T, text string) string {
	t.Helper()
	at := len(text) / 2
	changed := []byte(text)
	changed[at] = base64Digits[strings.IndexByte(base64Digits, text[at])^1]
	return string(changed)
}

// unusedBit sets a bit that decoding drops, in the last digit before the padding.
func unusedBit(t *testing.T, text string) string {
	t.Helper()
	at := strings.IndexByte(text, '=')
	if at < 1 {
		t.Fatalf("%q has no padding", text)
	}
	changed := []byte(text)
	changed[at-1] = base64Digits[strings.IndexByte(base64Digits, text[at-1])|1]
	if string(changed) == text {
		t.Fatal("the bit was set")
	}
	return string(changed)
}

func TestProofVectors(t *testing.T) {
	k := newVectorKeys(t)
	first := k.vkeys[0]
	const size = 300
	b := newLog(t, testLog, size)
	prover := func(entries []stored) (*kept, string, Checkpoint) {
		tiles := newKept()
		for _, e := range entries {
			tiles.append(t, e.leaf)
		}
		point := Checkpoint{Deployment: "audit.example.com/prod", Log: testLog, Size: uint64(len(entries)), Root: tiles.tree.Root()}
		return tiles, sign(t, point.Text(), k.first), point
	}
	inclusion := func(tiles *kept, point Checkpoint, seq uint64) tlog.RecordProof {
		t.Helper()
		hashes, err := Inclusion(point.Size, point.Root, seq, tiles)
		if err != nil {
			t.Fatal(err)
		}
		return hashes
	}
	var vectors []proofVector
	add := func(name string, entries []stored, seq uint64) {
		t.Helper()
		tiles, signed, point := prover(entries)
		proof := FormatProof(seq, entries[seq].entry, inclusion(tiles, point, seq), []byte(signed))
		vectors = append(vectors, proofVector{Name: name, Keys: []string{first}, Log: testLog, Seq: seq, Size: point.Size, Root: point.Root.String(), Entry: string(entries[seq].entry), Proof: string(proof)})
	}
	add("the only entry: no hash is needed", b.entries[:1], 0)
	add("the last of three", b.entries[:3], 2)
	add("the first of a tile and one", b.entries[:257], 0)
	add("the last of a tile and one", b.entries[:257], 256)
	add("the first", b.entries, 0)
	add("the last of a tile", b.entries, 255)
	add("the first of the next tile", b.entries, 256)
	add("a rejected record", b.entries, 3)
	add("a system record", b.entries, 5)
	add("the last", b.entries, size-1)
	golden(t, "proofs.json", vectors)
	for _, v := range vectors {
		if reason := checkProofByHand(v); reason != "" {
			t.Errorf("%s: %s", v.Name, reason)
		}
		proof, err := OpenProof([]byte(v.Proof), verifierList(t, v.Keys))
		if err != nil || string(proof.Entry) != v.Entry || proof.Header.Log != v.Log || proof.Header.Seq != v.Seq || proof.Checkpoint.Size != v.Size || proof.Checkpoint.Root.String() != v.Root {
			t.Errorf("%s: %+v, %v", v.Name, proof, err)
		}
	}

	tiles, signed, point := prover(b.entries)
	at := func(seq uint64) string {
		return string(FormatProof(seq, b.entries[seq].entry, inclusion(tiles, point, seq), []byte(signed)))
	}
	good := at(17)
	lines := strings.SplitAfter(good, "\n")
	var refused []refusal
	refuse := func(name, proof string) {
		t.Helper()
		p, err := OpenProof([]byte(proof), verifierList(t, []string{first}))
		if err == nil {
			t.Fatalf("%s: accepted as %+v", name, p)
		}
		refused = append(refused, refusal{Name: name, Keys: []string{first}, Reason: err.Error(), Proof: proof})
	}
	without := func(i int) string { return strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "") }
	const hashesFrom = 3 // lines
	refuse("another index", strings.Replace(good, "index 17\n", "index 18\n", 1))
	refuse("another index, with the hashes that belong to it", strings.Replace(at(18), strings.SplitAfter(at(18), "\n")[1], lines[1], 1))
	refuse("an index beyond the checkpoint", strings.Replace(good, "index 17\n", "index 300\n", 1))
	refuse("an index with a leading zero", strings.Replace(good, "index 17\n", "index 017\n", 1))
	refuse("an entry with one of the unused bits of base64 set", strings.Replace(good, lines[1], "extra "+unusedBit(t, lines[1][len("extra "):]), 1))
	refuse("a hash with one of the unused bits of base64 set", strings.Replace(good, lines[hashesFrom], unusedBit(t, lines[hashesFrom]), 1))
	refuse("a carriage return within the base64 of the entry", strings.Replace(good, lines[1], lines[1][:20]+"\r"+lines[1][20:], 1))
	refuse("a negative index", strings.Replace(good, "index 17\n", "index -17\n", 1))
	refuse("another entry", strings.Replace(good, lines[1], strings.SplitAfter(at(18), "\n")[1], 1))
	refuse("an entry with one byte changed", strings.Replace(good, lines[1], "extra "+base64.StdEncoding.EncodeToString(bytes.Replace(b.entries[17].entry, []byte(`"v":1`), []byte(`"v":2`), 1))+"\n", 1))
	refuse("no entry", without(1))
	refuse("no index", without(2))
	refuse("one hash less", without(hashesFrom))
	refuse("one hash more", strings.Replace(good, lines[hashesFrom], lines[hashesFrom]+lines[hashesFrom], 1))
	refuse("two hashes swapped", strings.Replace(good, lines[hashesFrom]+lines[hashesFrom+1], lines[hashesFrom+1]+lines[hashesFrom], 1))
	refuse("another version in the first line", strings.Replace(good, "@v1\n", "@v2\n", 1))
	refuse("cut behind the hashes", good[:strings.Index(good, "\n\n")+2])
	refuse("cut within the checkpoint", good[:len(good)-20])
	refuse("nothing", "")
	_, shorter, _ := prover(b.entries[:299])
	refuse("an older checkpoint", strings.Replace(good, signed, shorter, 1))
	refuse("a checkpoint that no known key has signed", strings.Replace(good, signed, sign(t, point.Text(), k.stranger), 1))
	// What only our own rules refuse: the tree is right, the signature too, but the entry says that it stands elsewhere.
	one := func(name, log string, entry []byte) {
		t.Helper()
		k1 := newKept()
		k1.append(t, LeafHash(entry))
		c := Checkpoint{Deployment: "audit.example.com/prod", Log: log, Size: 1, Root: k1.tree.Root()}
		refuse(name, string(FormatProof(0, entry, nil, []byte(sign(t, c.Text(), k.first)))))
	}
	one("the entry says that it stands in another log", "agent.events/4", b.entries[0].entry)
	one("the entry says another seq", testLog, b.entries[3].entry)
	one("the leaf is no entry", testLog, []byte("hello"))
	golden(t, "proofs-refused.json", refused)
}

// checkProofByHand checks a proof as its format is written down, with note and tlog alone.
func checkProofByHand(v proofVector) string {
	top, signed, _ := strings.Cut(v.Proof, "\n\n")
	lines := strings.Split(top, "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "not the lines of a proof"
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil || string(entry) != v.Entry {
		return "another entry"
	}
	if lines[2] != fmt.Sprintf("index %d", v.Seq) {
		return "another index"
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != HashBytes {
			return "a hash that is none"
		}
		proof = append(proof, tlog.Hash(raw))
	}
	verifier, err := note.NewVerifier(v.Keys[0])
	if err != nil {
		return err.Error()
	}
	n, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return err.Error()
	}
	said := strings.Split(n.Text, "\n")
	root, err := base64.StdEncoding.DecodeString(said[2])
	if err != nil || said[1] != fmt.Sprint(v.Size) || hex.EncodeToString(root) != v.Root {
		return "another checkpoint"
	}
	if err := tlog.CheckRecord(proof, int64(v.Size), tlog.Hash(root), int64(v.Seq), tlog.RecordHash(entry)); err != nil {
		return err.Error()
	}
	return ""
}
