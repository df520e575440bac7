package telemetry

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// reloadedCertificate is a certificate that is read again when its file has changed, so that a renewal needs
// no restart. Safe for concurrent use.
type reloadedCertificate struct {
	certFile, keyFile string

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified time.Time // of certFile when loaded was read
}

// get returns the certificate. A renewal that cannot be read leaves the old one in use; only a first
// certificate that cannot be read is an error.
func (r *reloadedCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.certFile)
	if err == nil && r.loaded != nil && info.ModTime().Equal(r.modified) {
		return r.loaded, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(r.certFile, r.keyFile); err == nil {
			r.loaded, r.modified = &pair, info.ModTime()
		}
	}
	if r.loaded == nil {
		return nil, fmt.Errorf("read certificate %s: %w", r.certFile, err)
	}
	return r.loaded, nil
}
