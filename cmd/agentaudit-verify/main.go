// Command agentaudit-verify checks logs of agentaudit for an auditor: over HTTP or from an exported folder, with public keys alone. It is linked to no
// database and no Kafka.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/agentaudit/agentaudit/internal/auditor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := auditor.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
