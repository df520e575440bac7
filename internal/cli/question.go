package cli

import (
	"fmt"
	"strings"
	"time"
)

// checkLimit checks --limit, of which a command takes at most so many.
func checkLimit(limit, most int) error {
	if limit < 1 || limit > most {
		return fmt.Errorf("--limit %d: must be 1 to %d", limit, most)
	}
	return nil
}

// parseSince reads --since.
func parseSince(text string, now time.Time) (time.Time, error) {
	return parseWhen("--since", text, now)
}

// parseWhen reads a time, a day, or how long ago, which a flag says; "": the zero time.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := time.ParseDuration(digits + "h"); err == nil && days >= 0 {
			return now.Add(-24 * days), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: write 30m, 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z", flag, text)
}
