package scan

import (
	"bytes"
	"math"
)

// detector looks around a literal that was found. find returns the range in text, which is normalised. Positions are within text.
type detector struct {
	name     string
	literals []string
	threat   [3]Threat // by Source
	find     func(text []byte, start, end int) (from, to int, ok bool)
}

var (
	always   = [3]Threat{Medium, Medium, Medium}
	grave    = [3]Threat{High, High, High}
	rendered = [3]Threat{Low, Medium, Low} // dangerous where it is about to be shown: in what a model has written
)

// detectors are the secrets and the unsafe output. Their names are sealed into entries: add, never rename.
var detectors = [...]detector{
	{"secret.private_key", []string{"-----begin "}, grave, findPrivateKey},
	{"secret.aws_access_key", []string{"AKIA", "ASIA"}, always, prefixed("AKIAASIA", 16, 16, upperDigit)},
	{"secret.github_token", []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, always, prefixed("ghp_gho_ghu_ghs_ghr_", 36, 251, alnum)},
	{"secret.github_token", []string{"github_pat_"}, always, prefixed("github_pat_", 40, 251, wordish)},
	{"secret.gitlab_token", []string{"glpat-"}, always, prefixed("glpat-", 20, 64, wordish)},
	{"secret.slack_token", []string{"xoxb-", "xoxp-", "xoxa-", "xoxs-", "xoxr-", "xapp-"}, always, prefixed("xoxb-xoxp-xoxa-xoxs-xoxr-xapp-", 20, 251, wordish)},
	{"secret.stripe_key", []string{"sk_live_", "rk_live_", "sk_test_"}, always, prefixed("sk_live_rk_live_sk_test_", 16, 251, alnum)},
	{"secret.google_api_key", []string{"AIza"}, always, prefixed("AIza", 35, 35, wordish)},
	{"secret.npm_token", []string{"npm_"}, always, prefixed("npm_", 36, 36, alnum)},
	{"secret.huggingface_token", []string{"hf_"}, always, prefixed("hf_", 30, 64, alnum)},
	{"secret.sendgrid_key", []string{"SG."}, always, prefixed("SG.", 60, 80, dotted)},
	{"secret.api_key", []string{"sk-"}, always, prefixed("sk-", 32, 251, wordish)},
	{"secret.azure_key", []string{"accountkey="}, always, after(80, 96, base64Byte)},
	{"secret.jwt", []string{"eyJ"}, always, findJWT},
	{"secret.password", []string{"password", "passwd", "pwd", "passphrase"}, always, findAssigned(6, 0)},
	{"secret.api_key", []string{"api_key", "apikey", "api-key", "secret_key", "secret-key", "access_key", "access_token", "auth_token", "client_secret", "private_token", "secret_access_key"}, always, findAssigned(16, 2.8)},
	{"secret.bearer_token", []string{"bearer "}, always, after(24, 2048, dotted)},
	{"secret.password", []string{"://"}, always, findUserinfo},

	{"output.script", []string{"<script"}, rendered, findTag},
	{"output.iframe", []string{"<iframe", "<object", "<embed"}, rendered, findTag},
	{"output.javascript_url", []string{"javascript:", "vbscript:"}, rendered, findScriptURL},
	{"output.data_url", []string{"data:text/html"}, rendered, findWhole},
	{"output.event_handler", []string{"onerror=", "onload=", "onclick=", "onmouseover=", "onfocus=", "ontoggle="}, rendered, findHandler},
	{"output.image_exfiltration", []string{"](http"}, rendered, findImage},
}

func upperDigit(b byte) bool { return b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' }
func digit(b byte) bool      { return b >= '0' && b <= '9' }
func letter(b byte) bool     { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func alnum(b byte) bool      { return letter(b) || digit(b) }
func wordish(b byte) bool    { return alnum(b) || b == '_' || b == '-' }
func dotted(b byte) bool {
	return wordish(b) || b == '.' || b == '~' || b == '+' || b == '/' || b == '='
}
func base64Byte(b byte) bool { return alnum(b) || b == '+' || b == '/' || b == '=' }

// prefixed finds a token that begins with one of the prefixes (all of the literal's length, in exact case) at the beginning of a word, and has between least and most bytes more.
func prefixed(prefixes string, least, most int, body func(byte) bool) func([]byte, int, int) (int, int, bool) {
	return func(text []byte, start, end int) (int, int, bool) {
		n := end - start
		known := false
		for i := 0; i+n <= len(prefixes); i += n {
			known = known || prefixes[i:i+n] == string(text[start:end])
		}
		if !known || start > 0 && (alnum(text[start-1]) || text[start-1] == '_') {
			return 0, 0, false
		}
		i := end
		for i < len(text) && i-end <= most && body(text[i]) {
			i++
		}
		if i-end < least || i-end > most || !mixed(text[end:i]) {
			return 0, 0, false
		}
		return start, i, true
	}
}

// mixed says whether bytes look drawn at random: some digits, and more than a few different characters.
func mixed(b []byte) bool {
	var seen [4]uint64
	digits, different := 0, 0
	for _, c := range b {
		if digit(c) {
			digits++
		}
		if seen[c>>6]&(1<<(c&63)) == 0 {
			seen[c>>6] |= 1 << (c & 63)
			different++
		}
	}
	return digits > 0 && different >= 8
}

// after finds a value of between least and most bytes that follows the literal at once.
func after(least, most int, body func(byte) bool) func([]byte, int, int) (int, int, bool) {
	return func(text []byte, _, end int) (int, int, bool) {
		i := end
		for i < len(text) && i-end <= most && body(text[i]) {
			i++
		}
		return end, i, i-end >= least && i-end <= most && mixed(text[end:i])
	}
}

// maxKeyBytes bounds how far the end of a private key is looked for.
const maxKeyBytes = 16 << 10

// findPrivateKey finds PEM blocks of private keys (RFC 7468), cut off or whole.
func findPrivateKey(text []byte, start, end int) (int, int, bool) {
	line := text[end:min(len(text), end+48)]
	at := bytes.Index(line, []byte("PRIVATE KEY"))
	if at < 0 {
		return 0, 0, false
	}
	rest := text[end+at : min(len(text), end+at+maxKeyBytes)]
	stop := end + at + len("PRIVATE KEY")
	if close := bytes.Index(rest, []byte("-----END ")); close >= 0 {
		stop = end + at + close + len("-----END ")
		for stop < len(text) && text[stop] != '\n' && text[stop] != '"' && stop-end < maxKeyBytes*2 {
			stop++
		}
	}
	return start, stop, true
}

// findJWT finds a JSON Web Token (RFC 7519) in compact form: three parts, the first two of them JSON objects in base64.
func findJWT(text []byte, start, end int) (int, int, bool) {
	if string(text[start:end]) != "eyJ" || start > 0 && wordish(text[start-1]) {
		return 0, 0, false
	}
	i, dots, part := start, 0, start
	for ; i < len(text) && i-start < 8192 && (wordish(text[i]) || text[i] == '.' && dots < 2); i++ {
		if text[i] == '.' {
			if i-part < 8 {
				return 0, 0, false
			}
			dots, part = dots+1, i+1
		}
	}
	if dots != 2 || i-part < 16 {
		return 0, 0, false
	}
	return start, i, true
}

// placeholders are values that stand for a secret where the text is about one.
var placeholders = [...]string{"your", "xxx", "***", "...", "<", "${", "{{", "$(", "%(", "example", "changeme", "placeholder", "redacted", "none", "null", "true", "false", "string",
	"os.", "process.", "env", "getpass", "input", "config", "required", "hidden", "self.", "user", "pass", "the", "hash", "must", "field", "incorrect", "invalid", "reset", "expired", "set"}

// findAssigned finds a value that is assigned to a name: name = "value", "name": "value", name: value. A value without quotes must have a digit, so that sentences are not taken for
// assignments.
func findAssigned(least int, entropy float64) func([]byte, int, int) (int, int, bool) {
	return func(text []byte, _, end int) (int, int, bool) {
		i := end
		if i < len(text) && (text[i] == '"' || text[i] == '\'') {
			i++
		}
		i = skipBlanks(text, i)
		if i >= len(text) || text[i] != '=' && text[i] != ':' {
			return 0, 0, false
		}
		i = skipBlanks(text, i+1)
		if i < len(text) && text[i] == '\\' {
			i++
		}
		quoted := byte(0)
		if i < len(text) && (text[i] == '"' || text[i] == '\'') {
			quoted = text[i]
			i++
		}
		from := i
		for i < len(text) && i-from < 512 && text[i] > ' ' && text[i] != '"' && text[i] != '\'' && text[i] != ',' && text[i] != '&' && text[i] != ';' && text[i] != '\\' && text[i] != '<' {
			i++
		}
		value := text[from:i]
		if len(value) < least || quoted != 0 && (i >= len(text) || text[i] <= ' ') || placeholder(value) {
			return 0, 0, false
		}
		digits, letters := false, false
		for _, b := range value {
			digits = digits || digit(b)
			letters = letters || letter(b)
		}
		if (quoted == 0 || entropy > 0) && !digits || !letters || entropyBits(value) < entropy {
			return 0, 0, false
		}
		return from, i, true
	}
}

func skipBlanks(text []byte, i int) int {
	for n := 0; i < len(text) && n < 4 && (text[i] == ' ' || text[i] == '\t'); n++ {
		i++
	}
	return i
}

func placeholder(value []byte) bool {
	for _, p := range placeholders {
		if len(value) >= len(p) && bytes.EqualFold(value[:len(p)], []byte(p)) {
			return true
		}
	}
	return value[len(value)-1] == '(' || bytes.IndexByte(value, '(') >= 0
}

// findUserinfo finds the password in a URL such as postgres://user:password@host (RFC 3986, 3.2.1).
func findUserinfo(text []byte, start, end int) (int, int, bool) {
	if start == 0 || !letter(text[start-1]) {
		return 0, 0, false
	}
	colon := 0
	for i := end; i < len(text) && i-end < 256; i++ {
		switch b := text[i]; {
		case b == ':' && colon == 0:
			colon = i + 1
		case b == '@':
			ok := colon > end+1 && i-colon >= 3 && !placeholder(text[colon:i])
			return colon, i, ok
		case b <= ' ' || b == '/' || b == '"' || b == '\'' || b == '<' || b == '?':
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// entropyBits is the entropy of a value's bytes, in bits each.
func entropyBits(value []byte) float64 {
	var counts [256]uint16
	for _, b := range value {
		counts[b]++
	}
	sum := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(value))
			sum -= p * math.Log2(p)
		}
	}
	return sum
}
