package kafkaio_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // its certificate, PEM
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes a certificate and returns its files.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", keyDER)
}

// Everything works over TLS with certificates on both sides and a login: producing, following, the group.
func TestSecureConnections(t *testing.T) {
	ca := newAuthority(t)
	serverCert, serverKey := ca.issue("server")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	clientCert, clientKey := ca.issue("client")
	passwordFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mechanism, server := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()), kfake.SeedTopics(1, "topic"),
				kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}),
				kfake.EnableSASL(), kfake.Superuser(server, "someone", "a secret"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			noLeaks(t)
			secure := func(cfg *kafkaio.Config, _ *kafkaio.Deps) {
				cfg.TLS = kafkaio.TLSConfig{Enabled: true, CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey}
				cfg.SASL = kafkaio.SASLConfig{Mechanism: mechanism, Username: "someone", PasswordFile: passwordFile}
			}
			c := newClient(t, cluster.ListenAddrs()[0], secure)
			if err := c.Produce(t.Context(), "topic", []kafkaio.Message{{Value: []byte("v")}}); err != nil {
				t.Fatal(err)
			}
			if all := collect(t, c, "topic", 0, 0, 1); string(all[0].value) != "v" {
				t.Errorf("got %s", all[0].value)
			}
			var works atomic.Int32
			_, stop := newGroup(t, c, "group", "topic", func(ctx context.Context, _ kafkaio.Assignment) error {
				works.Add(1)
				<-ctx.Done()
				return nil
			})
			testkit.Eventually(t, 20*time.Second, func() bool { return works.Load() == 1 }, "the work runs")
			stop()

			wrong := newClient(t, cluster.ListenAddrs()[0], func(cfg *kafkaio.Config, deps *kafkaio.Deps) {
				secure(cfg, deps)
				cfg.SASL.PasswordFile, cfg.SASL.Password = "", "another"
			})
			if err := wrong.Ping(t.Context()); err == nil {
				t.Error("a wrong password was accepted")
			} else if !errors.Is(err, kafka.SASLAuthenticationFailed) {
				t.Logf("a wrong password: %v", err)
			}
			distrustful := newClient(t, cluster.ListenAddrs()[0], func(cfg *kafkaio.Config, deps *kafkaio.Deps) {
				secure(cfg, deps)
				cfg.TLS.CAFile = newAuthority(t).file
			})
			var unknown *tls.CertificateVerificationError
			if err := distrustful.Ping(t.Context()); !errors.As(err, &unknown) {
				t.Errorf("a server of an unknown authority: %v", err)
			}
			plain := newClient(t, cluster.ListenAddrs()[0], func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.DialTimeout = time.Second })
			if err := plain.Ping(t.Context()); err == nil {
				t.Error("a connection without TLS was accepted")
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	f := func(name string, change func(*kafkaio.Config)) {
		t.Helper()
		cfg := kafkaio.DefaultConfig()
		change(&cfg)
		if _, err := kafkaio.New(cfg, kafkaio.Deps{}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	f("no broker", func(c *kafkaio.Config) { c.Brokers = nil })
	f("a broker without a port", func(c *kafkaio.Config) { c.Brokers = []string{"localhost"} })
	f("no client id", func(c *kafkaio.Config) { c.ClientID = "" })
	f("a fetch of nothing", func(c *kafkaio.Config) { c.FetchMaxBytes = 0 })
	f("a fetch of everything", func(c *kafkaio.Config) { c.FetchMaxBytes = 1 << 30 })
	f("no depth", func(c *kafkaio.Config) { c.FetchDepth = 0 })
	f("an endless wait", func(c *kafkaio.Config) { c.FetchMaxWait = time.Hour })
	f("no time to dial", func(c *kafkaio.Config) { c.DialTimeout = 0 })
	f("no time to answer", func(c *kafkaio.Config) { c.RequestTimeout = -1 })
	f("a certificate without its key", func(c *kafkaio.Config) { c.TLS = kafkaio.TLSConfig{Enabled: true, CertFile: "x"} })
	f("authorities that are not there", func(c *kafkaio.Config) { c.TLS = kafkaio.TLSConfig{Enabled: true, CAFile: "/nonexistent"} })
	f("an unknown mechanism", func(c *kafkaio.Config) { c.SASL = kafkaio.SASLConfig{Mechanism: "kerberos"} })
	f("a login without a name", func(c *kafkaio.Config) { c.SASL = kafkaio.SASLConfig{Mechanism: "plain", Password: "p"} })
	f("a login without a password", func(c *kafkaio.Config) { c.SASL = kafkaio.SASLConfig{Mechanism: "plain", Username: "u"} })
	f("a password file that is not there", func(c *kafkaio.Config) {
		c.SASL = kafkaio.SASLConfig{Mechanism: "plain", Username: "u", PasswordFile: "/nonexistent"}
	})

	c, err := kafkaio.New(kafkaio.DefaultConfig(), kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	g := func(name string, cfg kafkaio.GroupConfig) {
		t.Helper()
		if _, err := c.NewGroup(cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	topics := []string{"t"}
	g("no id", kafkaio.GroupConfig{Topics: topics})
	g("no topic", kafkaio.GroupConfig{ID: "g"})
	g("an unknown way to assign", kafkaio.GroupConfig{ID: "g", Topics: topics, Assign: "fair"})
	g("a session of no time", kafkaio.GroupConfig{ID: "g", Topics: topics, SessionTimeout: time.Millisecond})
	if _, err := c.NewGroup(kafkaio.GroupConfig{ID: "g", Topics: topics, Assign: "range"}); err != nil {
		t.Error(err)
	}
}
