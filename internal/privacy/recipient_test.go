package privacy

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

func TestExportForRecipient(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	r.start()
	plain, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for recipient, identity := range map[string]age.Identity{plain.Recipient().String(): plain, hybrid.Recipient().String(): hybrid} {
		s := exportOf("mia")
		s.Recipient = recipient
		request := r.wantCompleted(r.submit(s))
		if result, err := ResultOfExport(&request); err != nil || !result.ForRecipient || request.Options != "{}" {
			t.Errorf("%+v, options %s, %v", result, request.Options, err)
		}
		sealed, err := r.read(request)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := age.Decrypt(bytes.NewReader(sealed), identity)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		checkArchive(t, text)
	}
	for _, recipient := range []string{"age1", "mia-x", plain.String(), "age1" + strings.Repeat("q", 5000)} {
		s := exportOf("mia")
		s.Recipient = recipient
		if _, _, err := Submit(t.Context(), r.Vault, s); err == nil || strings.Contains(err.Error(), recipient[4:]) && len(recipient) > 10 {
			t.Errorf("taken for a recipient: %q, %v", recipient, err)
		}
	}
	s := erasureOf("mia")
	s.Recipient = plain.Recipient().String()
	if _, _, err := Submit(t.Context(), r.Vault, s); err == nil {
		t.Error("an erasure with a recipient")
	}
}

func FuzzParseRecipient(f *testing.F) {
	f.Add("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
	f.Add("AGE-SECRET-KEY-1QQ")
	f.Fuzz(func(t *testing.T, text string) {
		recipient, err := ParseRecipient(text)
		if err != nil {
			if len(text) > 30 && strings.Contains(err.Error(), text) {
				t.Error("the error quotes what may be a secret")
			}
			return
		}
		w, err := age.Encrypt(io.Discard, recipient)
		if err != nil || w.Close() != nil {
			t.Errorf("%q is none: %v", text, err)
		}
	})
}
