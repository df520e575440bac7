package cli

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/up"
)

type upCommand struct {
	Sample         bool   `help:"Stream sample traffic, with an incident after a while."`
	KafkaAddr      string `help:"Address of the Kafka broker. Default: a free port of 127.0.0.1, kept in the folder." placeholder:"HOST:PORT"`
	ClickhouseAddr string `help:"Address of ClickHouse's HTTP interface. Default: as above." placeholder:"HOST:PORT"`
	HTTPAddr       string `name:"http-addr" help:"Address of the exporter. Default: as above." placeholder:"HOST:PORT"`
	SlackAPIURL    string `name:"slack-api-url" help:"Slack's Web API. Default: https://slack.com/api/." placeholder:"URL"`
	SlackTokenFile string `name:"slack-token-file" help:"File with the token of the Slack app's bot. Without one alerts are printed and stored only." placeholder:"FILE"`
	SlackChannel   string `name:"slack-channel" help:"Channel of Slack where alerts go, by its id." placeholder:"CHANNEL"`
	Partitions     int    `help:"Partitions of the events' topic, when it is made. Default: 4."`
	Quiet          bool   `short:"q" help:"Do not show what the processes log; it is in DIR/logs all the same."`
}

// Help is printed by `up --help`.
func (upCommand) Help() string {
	return `Runs a Kafka-protocol broker, the ClickHouse engine, ingest, detector and exporter as children of this command,
on loopback, with their data, passwords and logs in the folder of --data. When everything is ready,
DIR/endpoints.json says how to reach it. Ctrl-C ends it; the same command goes on where it was.
What --set and the flags for addresses and Slack say is kept in DIR/config.yaml.`
}

func (c *upCommand) Run(ctx context.Context, w *world) error {
	if w.flags.Data == "" {
		return errors.New("up needs a folder: --data DIR")
	}
	return up.Run(ctx, up.Options{
		Data:           up.Folder(w.flags.Data),
		KafkaAddr:      c.KafkaAddr,
		ClickHouseAddr: c.ClickhouseAddr,
		HTTPAddr:       c.HTTPAddr,
		SlackAPIURL:    c.SlackAPIURL,
		SlackTokenFile: c.SlackTokenFile,
		SlackChannel:   c.SlackChannel,
		Partitions:     c.Partitions,
		Sample:         c.Sample,
		Quiet:          c.Quiet,
		Set:            w.flags.Set,
		Environ:        w.environ,
	}, w.stdout)
}
