package events_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// TestEmitterLogin: TLS and each SASL mechanism, and what a wrong password and a
// certificate of somebody else lead to: the events wait.
func TestEmitterLogin(t *testing.T) {
	server, roots := certificate(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()), kfake.SeedTopics(testPartitions, "agent.events"),
				kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}}),
				kfake.EnableSASL(), kfake.Superuser(mechanism, "agent", "right"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			noLeaks(t)
			try := func(password string, roots *x509.CertPool) events.Stats {
				cfg := config(c.ListenAddrs()[0], "agent.events")
				cfg.TLS = &tls.Config{RootCAs: roots}
				cfg.SASL = &events.SASL{Mechanism: mechanism, Username: "agent", Password: password}
				e := newEmitter(t, cfg, events.EmitterDeps{})
				if err := e.Emit(t.Context(), numbered("ann", 0)); err != nil {
					t.Fatal(err)
				}
				testkit.Eventually(t, limit, func() bool { s := e.Stats(); return s.Acked > 0 || s.Retries > 1 }, "it was tried")
				return e.Stats()
			}
			if s := try("right", roots); s.Acked != 1 {
				t.Errorf("with the right password: %+v", s)
			}
			if s := try("wrong", roots); s.Acked != 0 || s.KafkaUp || s.InMemory != 1 {
				t.Errorf("with a wrong password: %+v", s)
			}
			if s := try("right", x509.NewCertPool()); s.Acked != 0 || s.KafkaUp || s.InMemory != 1 {
				t.Errorf("with a certificate of nobody: %+v", s)
			}
		})
	}
}

// TestEmitterAsksForAllAcks: what a broker is asked for.
func TestEmitterAsksForAllAcks(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()), kfake.SeedTopics(testPartitions, "agent.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	acks := make(chan int16, 100)
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		acks <- r.(*kmsg.ProduceRequest).Acks
		return nil, nil, false
	})
	e := newEmitter(t, config(c.ListenAddrs()[0], "agent.events"), events.EmitterDeps{})
	if err := e.EmitSync(testContext(t), numbered("ann", 0)); err != nil {
		t.Fatal(err)
	}
	closeEmitter(t, e)
	if got := <-acks; got != -1 {
		t.Errorf("acks=%d, want -1: all replicas", got)
	}
}

// certificate makes a certificate for the loopback address that signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
