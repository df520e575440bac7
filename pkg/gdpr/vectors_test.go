package gdpr

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// The vectors are for other implementations, so they are changed on purpose only: go test ./pkg/gdpr -run Vectors -update
var update = flag.Bool("update", false, "write schemas/vectors/content anew from the slow implementation")

const vectorFolder = "../../schemas/vectors/content"

// hexBytes is a byte string that stands in a vector as hex digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type keyVector struct {
	ID         string   `json:"id"`
	ContentKey hexBytes `json:"content_key"`
}

type sealVector struct {
	Name       string          `json:"name"`
	Plaintext  string          `json:"plaintext"`
	Packed     hexBytes        `json:"packed"`
	Keys       []keyVector     `json:"keys"`
	Salt       hexBytes        `json:"salt"`
	Ciphertext hexBytes        `json:"ciphertext"`
	Content    json.RawMessage `json:"content"`
}

type tokenVector struct {
	Name  string   `json:"name"`
	Key   hexBytes `json:"key"`
	Tag   byte     `json:"tag"`
	Value string   `json:"value"`
	Token hexBytes `json:"token"`
}

type systemVector struct {
	Name      string   `json:"name"`
	Seed      hexBytes `json:"seed"`
	PublicKey hexBytes `json:"public_key"`
	Record    string   `json:"record"`
	Signature hexBytes `json:"signature"`
}

func TestSealVectors(t *testing.T) {
	const file = "sealed.json"
	if *update {
		var vectors []sealVector
		add := func(name, plain string, keys int, algorithm string) {
			v := sealVector{Name: name, Plaintext: plain, Packed: hexBytes(plain)}
			if algorithm == AlgorithmSnappy {
				v.Packed = s2.EncodeSnappy(nil, v.Packed)
			}
			owners := testKeys(keys, byte(len(vectors)))
			for _, k := range owners {
				v.Keys = append(v.Keys, keyVector{ID: k.ID.String(), ContentKey: k.Content[:]})
			}
			salt := sha256.Sum256([]byte(name))
			ciphertext, sealed := slowSeal(t, algorithm, v.Packed, salt, owners)
			v.Salt, v.Ciphertext, v.Content = salt[:], ciphertext, AppendSealed(nil, &sealed)
			vectors = append(vectors, v)
		}
		add("empty content", "", 1, AlgorithmPlain)
		add("short content of one subject", `{"input":"Please cancel my order.","ip":"192.0.2.7"}`, 1, AlgorithmPlain)
		add("text beyond ASCII", `{"input":"Čau, 客户 👋"}`, 1, AlgorithmPlain)
		add("compressed content of one subject", `{"output":"`+strings.Repeat("The flight is on time. ", 20)+`"}`, 1, AlgorithmSnappy)
		add("content of two subjects", `{"input":"Alice and Bob"}`, 2, AlgorithmPlain)
		add("compressed content of five subjects", `{"output":"`+strings.Repeat("Everybody was told. ", 12)+`"}`, 5, AlgorithmSnappy)
		writeVectors(t, file, vectors)
	}
	var vectors []sealVector
	readVectors(t, file, &vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) { checkSealVector(t, &v) })
	}
}

func checkSealVector(t *testing.T, v *sealVector) {
	var keys []Keys
	for _, k := range v.Keys {
		id, ok := parseKeyID([]byte(k.ID))
		if !ok {
			t.Fatalf("key id %q", k.ID)
		}
		keys = append(keys, Keys{ID: id, Content: [32]byte(k.ContentKey)})
	}
	var sealed Sealed
	if err := ParseSealed(v.Content, &sealed); err != nil {
		t.Fatal(err)
	}
	if sealed.Salt != [32]byte(v.Salt) {
		t.Error("salt of the content object differs from the vector's")
	}
	slowText, slow := slowSeal(t, sealed.Algorithm, v.Packed, [32]byte(v.Salt), keys)
	if !bytes.Equal(slowText, v.Ciphertext) || !bytes.Equal(AppendSealed(nil, &slow), v.Content) {
		t.Error("the slow implementation seals otherwise")
	}
	opened, err := Open(nil, v.Ciphertext, &sealed, pointers(keys))
	if err != nil || string(opened) != v.Plaintext {
		t.Errorf("does not open: %v", err)
	}
	// The fast implementation, made to draw the vector's salt.
	s := testSealer(t)
	copy(s.salts.batch[len(s.salts.batch)-32:], v.Salt)
	s.salts.left = len(s.salts.batch)
	var fast Sealed
	fastText, err := s.Seal(nil, []byte(v.Plaintext), prepared(keys), &fast)
	if err != nil {
		t.Fatal(err)
	}
	if fast.Algorithm != sealed.Algorithm || fast.Commit != sealed.Commit {
		t.Error("the fast implementation derives otherwise")
	}
	// Two right compressors may pack otherwise; then the ciphertexts differ as well.
	if sealed.Algorithm == AlgorithmPlain && !bytes.Equal(fastText, v.Ciphertext) {
		t.Error("the fast implementation seals otherwise")
	}
}

func TestTokenVectors(t *testing.T) {
	const file = "tokens.json"
	if *update {
		key := testKeys(1, 50)[0].Token
		vectors := []tokenVector{
			{Name: "session", Tag: TagSession, Value: "sess-1"},
			{Name: "conversation of the same name", Tag: TagConversation, Value: "sess-1"},
			{Name: "ip", Tag: TagIP, Value: "2001:db8::7"},
			{Name: "resource, under the search key", Tag: TagResource, Value: "Auftrag Nr. 7 über Öl"},
			{Name: "empty", Tag: TagSession, Value: ""},
			{Name: "longer than a block", Tag: TagSession, Value: strings.Repeat("0123456789", 13)},
		}
		for i := range vectors {
			v := &vectors[i]
			v.Key = key[:]
			mac := deriveToken(key, v.Tag, v.Value)
			v.Token = mac[:]
		}
		writeVectors(t, file, vectors)
	}
	var vectors []tokenVector
	readVectors(t, file, &vectors)
	for _, v := range vectors {
		s, err := NewSealer((*[32]byte)(v.Key))
		if err != nil {
			t.Fatal(err)
		}
		p := Prepare(&Keys{Token: [32]byte(v.Key)})
		want := [TokenBytes]byte(v.Token)
		if deriveToken([32]byte(v.Key), v.Tag, v.Value) != want || s.SubjectToken(&p, v.Tag, []byte(v.Value)) != want || s.SearchToken(v.Tag, []byte(v.Value)) != want {
			t.Errorf("%s: another token", v.Name)
		}
	}
}

func TestSystemVectors(t *testing.T) {
	const file = "system.json"
	if *update {
		seed := sha256.Sum256([]byte("author"))
		key := ed25519.NewKeyFromSeed(seed[:])
		var vectors []systemVector
		for name, record := range map[string]string{
			"heartbeat": `{"schema":"agentaudit.event/v1","event_id":"0193492e-5c00-7000-8000-000000000001","type":"audit.heartbeat"}`,
		} {
			vectors = append(vectors, systemVector{Name: name, Seed: seed[:], PublicKey: hexBytes(key.Public().(ed25519.PublicKey)), Record: record,
				Signature: ed25519.Sign(key, []byte("agentaudit/system/v1\x00"+record))})
		}
		writeVectors(t, file, vectors)
	}
	var vectors []systemVector
	readVectors(t, file, &vectors)
	for _, v := range vectors {
		if !bytes.Equal(SignSystem(ed25519.NewKeyFromSeed(v.Seed), []byte(v.Record)), v.Signature) || !VerifySystem(ed25519.PublicKey(v.PublicKey), []byte(v.Record), v.Signature) {
			t.Errorf("%s: another signature", v.Name)
		}
	}
}

func readVectors(t *testing.T, file string, vectors any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectorFolder, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func writeVectors(t *testing.T, file string, vectors any) {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	// One vector a line: readable, and content objects keep their very bytes.
	lines := strings.ReplaceAll(text.String(), `},{"name"`, "},\n{\"name\"")
	if err := os.WriteFile(filepath.Join(vectorFolder, file), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
}
