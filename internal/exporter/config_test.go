package exporter

import (
	"testing"
	"time"
)

func TestConfigBounds(t *testing.T) {
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	f := func(change func(c *Config)) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
	f(func(c *Config) { c.SystemTopic = "" })
	f(func(c *Config) { c.PollEvery = 0 })
	f(func(c *Config) { c.PollEvery = time.Minute })
	f(func(c *Config) { c.RecheckEvery = time.Millisecond })
	f(func(c *Config) { c.RecheckRate = 0 })
	f(func(c *Config) { c.HeartbeatEvery = 0 })
	f(func(c *Config) { c.RejectedKeepDays = 0 })
}
