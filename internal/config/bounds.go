package config

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// Error is a key that has a value which it cannot have. Its text is one line.
type Error struct {
	Key   string
	Value string // never a secret
	Want  string // what is allowed
	From  string // where the value came from, if known
}

func (e *Error) Error() string {
	text := e.Key + ": " + oneLine(e.Value) + " is not possible; it must be " + e.Want
	if e.Value == "" {
		text = e.Key + ": is empty; it must be " + e.Want
	}
	if e.From != "" {
		text += " (from " + e.From + ")"
	}
	return text
}

// maxQuoted keeps an error readable when somebody puts a certificate where a name belongs.
const maxQuoted = 80

func oneLine(value string) string {
	if len(value) > maxQuoted {
		value = value[:maxQuoted] + "…"
	}
	return strconv.Quote(value)
}

func wrong(key, value, want string) error { return &Error{Key: key, Value: value, Want: want} }

// first runs checks up to the first that fails.
func first(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func between(key string, value, low, high int) error {
	if value < low || value > high {
		return wrong(key, strconv.Itoa(value), strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
	return nil
}

// numbered refuses NaN too, which is neither less nor more than anything.
func numbered(key string, value, low, high float64) error {
	if !(value >= low && value <= high) {
		return wrong(key, decimal(value), decimal(low)+" to "+decimal(high))
	}
	return nil
}

func decimal(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

func within(key string, value, low, high time.Duration) error {
	if value < low || value > high {
		return wrong(key, value.String(), low.String()+" to "+high.String())
	}
	return nil
}

func sized(key string, value, low, high ByteSize) error {
	if value < low || value > high {
		return wrong(key, value.String(), low.String()+" to "+high.String())
	}
	return nil
}

// memoryLimit allows 0 (none of our own) and what a process can still work with.
func memoryLimit(key string, limit ByteSize) error {
	if limit != 0 && (limit < 128<<20 || limit > 1<<40) {
		return wrong(key, limit.String(), "0 (from the container's limit) or 128MiB to 1TiB")
	}
	return nil
}

func oneOf(key, value string, allowed ...string) error {
	var names []string
	for _, a := range allowed {
		if value == a {
			return nil
		}
		if a == "" {
			a = "empty"
		}
		names = append(names, a)
	}
	return wrong(key, value, "one of "+strings.Join(names, ", "))
}

// notBoth refuses a secret that is given in two ways, of which one would be ignored.
func notBoth(key string, value Secret, file Path) error {
	if value != "" && file != "" {
		return wrong(key+"_file", string(file), "empty, because "+envName(key)+" is set")
	}
	return nil
}

func secretGiven(key string, value Secret, file Path) error {
	if value == "" && file == "" {
		return wrong(key+"_file", "", "a file, or "+envName(key)+" must be set")
	}
	return notBoth(key, value, file)
}

func isHostPort(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && host != "" && isPort(port)
}

func isListenAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && isPort(port)
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}
