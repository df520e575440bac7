package up

import (
	"os"
	"path/filepath"
	"strings"
)

// banner says what can be done now.
func (u *up) banner() {
	data := string(u.options.Data)
	if here, err := os.Getwd(); err == nil {
		if near, err := filepath.Rel(here, data); err == nil && !strings.HasPrefix(near, "..") {
			data = near
		}
	}
	u.console.printf(`
agentaudit is ready.
  Kafka       %s   topic %s
  ClickHouse  %s   user %s, password in %s
  HTTP        %s
In another terminal:
  %[8]s emit FILE --data %[7]s
  %[8]s query --data %[7]s "SELECT type, count() FROM events GROUP BY type ORDER BY 2 DESC"
  %[8]s verify --data %[7]s
Ctrl-C ends it; the same command goes on where it was.
`, u.cfg.Kafka.Brokers[0], u.cfg.Ingest.Topics.Events, u.cfg.ClickHouse.Addresses[0], u.cfg.ClickHouse.User,
		u.cfg.ClickHouse.PasswordFile, u.base(u.cfg.HTTP.Exporter), data, os.Args[0])
}
