package process

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// namedRows bounds how many rows are remembered as named: whoever fills the vault with them must not fill our memory too.
const namedRows = 1000

// forgedRows names rows of the vault that are not ours in the log, each once, and counts how often a process came upon one.
type forgedRows struct {
	log   *slog.Logger
	found *prometheus.CounterVec

	mu    sync.Mutex
	named map[vault.ForgedError]struct{}
}

// newForgedRows returns what Config.Forged is to be; nil if there is nobody to tell.
func newForgedRows(deps kafkaio.Deps) (func(*vault.ForgedError), error) {
	if deps.Logger == nil || deps.Metrics == nil {
		return nil, nil //nolint:nilnil // nobody is told
	}
	f := &forgedRows{
		log: deps.Logger, named: map[vault.ForgedError]struct{}{},
		found: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_vault_forged_rows_total", Help: "Times that a row of the vault was come upon that none of our processes has written as it is.",
		}, []string{"table"}),
	}
	return f.tell, deps.Metrics.Register(f.found)
}

func (f *forgedRows) tell(e *vault.ForgedError) {
	f.found.WithLabelValues(e.Table).Inc()
	f.mu.Lock()
	_, before := f.named[*e]
	if len(f.named) >= namedRows {
		clear(f.named)
	}
	f.named[*e] = struct{}{}
	f.mu.Unlock()
	if !before {
		f.log.Error("a row of the vault was written by somebody without the keyring; it is not acted on", "table", e.Table, "row", e.Row)
	}
}
