package clickhttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
)

// account compares digests, so neither contents nor lengths show in the time it takes.
type account struct{ user, password [sha256.Size]byte }

func newAccount(user, password string) account {
	return account{sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))}
}

func (a account) matches(user, password string) bool {
	b := newAccount(user, password)
	return subtle.ConstantTimeCompare(a.user[:], b.user[:])&subtle.ConstantTimeCompare(a.password[:], b.password[:]) == 1
}

// authenticate reads the credentials where ClickHouse does: headers, else Basic, else the URL.
func (a account) authenticate(r *http.Request, query url.Values) error {
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if user == "" && password == "" {
		var ok bool
		if user, password, ok = r.BasicAuth(); !ok {
			user, password = query.Get("user"), query.Get("password")
		}
	}
	if !a.matches(user, password) {
		return exception(codeAuthenticationFailed, "AUTHENTICATION_FAILED", "Authentication failed: password is incorrect, or there is no user with such name")
	}
	return nil
}
