package secret

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Names of the secrets that Envoy asks for.
const (
	// Workload is the workload's own certificate and key.
	Workload = "default"
	// Root is the set of roots that peers of the mesh are verified against.
	Root = "ROOTCA"
	// RootsWith begins the names of Root with the roots of further trust domains, "ROOTCA-with:DOMAIN,DOMAIN".
	RootsWith = "ROOTCA-with:"
)

const (
	defaultTTL   = 24 * time.Hour
	defaultRatio = 0.5
	defaultShift = 0.01
	// A failed request is repeated after firstRetry, then twice as long each time up to lastRetry,
	// less up to half at random so that agents of one machine do not come together.
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
	// minRenewal keeps a CA that hands out almost expired certificates from being asked without pause.
	minRenewal = time.Second
)

// Value is one secret, either a certificate with its key or a set of roots. It is never changed.
type Value struct {
	// Version changes when the value does.
	Version string
	// CertificateChain is PEM, leaf first, with PrivateKey (PEM); empty for roots.
	CertificateChain, PrivateKey []byte
	// Roots is PEM; empty for a certificate. CRL is what their CAs have revoked (PEM); empty for no list.
	Roots, CRL []byte
	// Domains are the trust domains whose identities Roots and further roots verify; empty where Roots verify all.
	Domains []Domain
	// NotAfter is when it expires; zero for roots.
	NotAfter time.Time
}

// authority gives a new certificate with the roots of its issuer.
type authority interface {
	issue(ctx context.Context, current *Value) (cert, roots *Value, err error)
}

// Manager owns the secrets of one workload.
type Manager struct {
	cfg     Config
	ca      authority
	files   *files
	metrics *metrics

	mu          sync.Mutex
	cert, roots *Value
	trust       *Value        // the roots that the control plane told of; nil before
	changed     chan struct{} // closed at the next change

	due chan struct{} // has an element when the CA signs by another key than the certificate's
}

// New gives a Manager; Run makes it work.
func New(cfg Config) *Manager {
	if cfg.TTL == 0 {
		cfg.TTL = defaultTTL
	}
	if cfg.GracePeriodRatio <= 0 || cfg.GracePeriodRatio >= 1 {
		cfg.GracePeriodRatio = defaultRatio
	}
	if cfg.GracePeriodJitter == 0 {
		cfg.GracePeriodJitter = defaultShift
	}
	if cfg.RenewalSpread <= 0 {
		cfg.RenewalSpread = renewalSpread
	}
	m := &Manager{cfg: cfg, changed: make(chan struct{}), due: make(chan struct{}, 1), metrics: newMetrics(cfg.Registry)}
	m.cfg.TLS = m.Trusting(cfg.TLS)
	m.ca = &client{cfg: m.cfg}
	m.files = newFiles(cfg.Logger, m.notify)
	return m
}

// Run asks for the workload certificate and renews it, and follows mounted files, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.files.run(ctx) })
	switch {
	case m.cfg.Mounted != nil:
	case m.cfg.Socket != "":
		g.Go(func() error { m.follow(ctx); return nil })
	default:
		g.Go(func() error { m.renew(ctx); return nil })
	}
	if m.cfg.OutputDir != "" {
		g.Go(func() error { m.output(ctx); return nil })
	}
	return g.Wait()
}

// renew keeps the workload certificate fresh. The one before serves until the next is there.
func (m *Manager) renew(ctx context.Context) {
	retry := firstRetry
	for {
		cert, roots, err := m.ca.issue(ctx, m.WorkloadCertificate())
		var wait time.Duration
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = retry - rand.N(retry/2)
			retry = min(2*retry, lastRetry)
			m.metrics.failures.Inc()
			m.cfg.Logger.Warn("workload certificate not issued", "ca", m.cfg.Address, "error", err, "retryIn", wait)
		default:
			retry = firstRetry
			wait = m.untilRenewal(time.Until(cert.NotAfter))
			m.metrics.expiry.Set(float64(cert.NotAfter.Unix()))
			m.set(cert, roots)
			m.cfg.Logger.Info("workload certificate issued", "notAfter", cert.NotAfter, "renewIn", wait)
		}
		if !m.rest(ctx, wait) {
			return
		}
	}
}

// rest waits until a certificate is to be renewed, and tells whether ctx goes on.
func (m *Manager) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for until := time.Now().Add(wait); ; {
		select {
		case <-timer.C:
			return true
		case <-m.due:
			timer.Reset(min(m.untilDue(), time.Until(until)))
		case <-ctx.Done():
			return false
		}
	}
}

// untilRenewal counts from now, not from the certificate's start, which the CA puts into the past.
func (m *Manager) untilRenewal(lifetime time.Duration) time.Duration {
	left := m.cfg.GracePeriodRatio
	if j := m.cfg.GracePeriodJitter; j > 0 {
		left += (2*rand.Float64() - 1) * j
	}
	left = min(max(left, 0), 1)
	return max(time.Duration(float64(lifetime)*(1-left)), minRenewal)
}

func (m *Manager) set(cert, roots *Value) {
	m.mu.Lock()
	m.cert = cert
	if m.roots == nil || m.roots.Version != roots.Version {
		m.roots = roots
	}
	if m.trust != nil { // the CA may know more by now than the control plane said when it was last reached
		m.trust = union(m.trust, roots)
	}
	m.mu.Unlock()
	m.notify()
}

func (m *Manager) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// Secret gives the present value of a name, nil while it is not there yet. An error says that the
// name can never have a value.
func (m *Manager) Secret(name string) (*Value, error) {
	further, hasFurther := strings.CutPrefix(name, RootsWith)
	switch mounted := m.cfg.Mounted; {
	case name == Workload && mounted != nil:
		return m.files.secret("file-cert:" + mounted.Cert + "~" + mounted.Key)
	case (name == Root || hasFurther) && mounted != nil:
		return m.files.secret("file-root:" + mounted.Root)
	case name == Workload:
		return m.WorkloadCertificate(), nil
	case name == Root:
		return m.checked(own(m.Roots())), nil
	case hasFurther:
		return m.checked(with(m.Roots(), strings.Split(further, ","))), nil
	case strings.HasPrefix(name, "file-"):
		return m.files.secret(name)
	}
	return nil, fmt.Errorf("secret %q is none that an agent has", name)
}

// Changed gives a channel that is closed at the next change of any secret. Take it before reading
// the secrets, so that no change is missed.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// WorkloadCertificate gives the present workload certificate, nil before the first.
func (m *Manager) WorkloadCertificate() *Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cert
}

// Roots gives the present roots, nil before the first certificate: those that the control plane told of, else
// those of the certificate's issuer.
func (m *Manager) Roots() *Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trust != nil {
		return m.trust
	}
	return m.roots
}

// checked gives the mesh's roots with the list of what the mesh's CA has revoked, where there is one.
func (m *Manager) checked(roots *Value) *Value {
	if roots == nil || m.cfg.CRLFile == "" {
		return roots
	}
	list, err := m.files.secret(crlPrefix + m.cfg.CRLFile)
	if err != nil || list == nil || list.CRL == nil {
		return roots
	}
	return withCRL(roots, list.CRL)
}

// withCRL gives roots beside a list.
func withCRL(roots *Value, crl []byte) *Value {
	return &Value{
		Version: versionOf(slices.Concat(roots.Roots, crl), roots.Domains), Roots: roots.Roots, CRL: crl, Domains: roots.Domains,
	}
}

// version names public bytes; keys stay out of it.
func version(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}
