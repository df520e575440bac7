package config

// HTTP is where the processes serve /healthz, /readyz and /metrics.
type HTTP struct {
	// Exporter, Ingest and Detector are the addresses to listen on, host:port. They differ, so that one
	// file serves all three on one machine.
	Exporter string  `yaml:"exporter"`
	Ingest   string  `yaml:"ingest"`
	Detector string  `yaml:"detector"`
	TLS      HTTPTLS `yaml:"tls"`
}

// HTTPTLS makes the three listeners speak HTTPS. Both files or neither; they are read again when they change.
type HTTPTLS struct {
	CertFile Path `yaml:"cert_file"`
	KeyFile  Path `yaml:"key_file"`
}

// Log is what the processes write to their standard error.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is json or text.
	Format string `yaml:"format"`
}

func defaultHTTP() HTTP {
	return HTTP{Exporter: "127.0.0.1:8080", Ingest: "127.0.0.1:9101", Detector: "127.0.0.1:9102"}
}

func defaultLog() Log { return Log{Level: "info", Format: "json"} }

func (h *HTTP) validate() error {
	for _, listen := range []struct{ key, address string }{
		{"http.exporter", h.Exporter}, {"http.ingest", h.Ingest}, {"http.detector", h.Detector},
	} {
		if !isListenAddress(listen.address) {
			return wrong(listen.key, listen.address, "host:port or :port")
		}
	}
	if (h.TLS.CertFile == "") != (h.TLS.KeyFile == "") {
		return wrong("http.tls.cert_file", string(h.TLS.CertFile), "set together with http.tls.key_file, or neither")
	}
	return nil
}

func (l *Log) validate() error {
	return first(
		func() error { return oneOf("log.level", l.Level, "debug", "info", "warn", "error") },
		func() error { return oneOf("log.format", l.Format, "json", "text") },
	)
}
