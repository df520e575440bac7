package process

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/api"
	"github.com/agentaudit/agentaudit/internal/intake"
	"github.com/agentaudit/agentaudit/internal/privacy"
)

// Outside is how people's requests and questions come in, and what is shown of them.
type Outside struct {
	api    *api.Server
	gauges *privacy.Gauges
	intake *intake.Intake // nil: no topic is read
}

// NewOutside makes what answers outside. It starts nothing.
func NewOutside(base Base, systems *Systems) (*Outside, error) {
	cfg := api.DefaultConfig()
	cfg.SessionPolicy, cfg.ExportDir = base.Config.Ingest.Fields.SessionID, string(base.Config.Exporter.ExportDir)
	server, err := api.New(cfg, api.Deps{Store: systems.Store, Vault: systems.Vault, Metrics: base.Metrics, Log: base.Log})
	if err != nil {
		return nil, err
	}
	gauges, err := privacy.NewGauges(systems.Vault, base.Metrics, base.Log)
	if err != nil {
		return nil, err
	}
	o := &Outside{api: server, gauges: gauges}
	if from := base.Config.Exporter.GDPR; from.Topic != "" {
		o.intake, err = intake.New(intake.Config{Topic: from.Topic, Group: from.Group, Trusted: from.TrustedTopic},
			intake.Deps{Kafka: systems.Kafka, Vault: systems.Vault, Metrics: base.Metrics, Log: base.Log})
	}
	return o, err
}

// Run works until ctx ends.
func (o *Outside) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return o.api.Run(ctx) })    // ends with ctx
	group.Go(func() error { return o.gauges.Run(ctx) }) // ends with ctx
	if o.intake != nil {
		group.Go(func() error { return o.intake.Run(ctx) }) // ends with ctx
	}
	return group.Wait()
}

// Handler answers below api.Prefix, and leaves the rest to another one.
func (o *Outside) Handler(rest http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(api.Prefix, o.api.Handler())
	mux.Handle("/", rest)
	return mux
}
