package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	"github.com/pilothouse-mesh/pilothouse/agent/dns"
	"github.com/pilothouse-mesh/pilothouse/agent/dns/wire"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/agent/health"
	"github.com/pilothouse-mesh/pilothouse/agent/sds"
	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/agent/status"
	"github.com/pilothouse-mesh/pilothouse/agent/tap"
	"github.com/pilothouse-mesh/pilothouse/agent/xdsproxy"
	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// service is a part that runs until its context ends.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// parts are what one agent consists of.
type parts struct {
	status   *status.Server
	services []service
	envoy    *envoy.Process
	// again tells whether an Envoy that failed is to be started once more.
	again func(failure error) bool
}

// maxConnections bounds the TCP connections whose bytes are counted while they are open; it costs the agent some
// 2 MB.
const maxConnections = 10_000

// build makes the parts in the order in which they start: each needs only those before it.
func build(cfg Config, registry *prometheus.Registry, quit func()) (*parts, error) {
	late := &patches{cfg: cfg}
	p := &parts{again: late.ended}
	process := cfg.process()
	if cfg.Envoy.Patches {
		process.Late = late.args
	}
	p.envoy = envoy.New(process)
	xdsTLS, err := cfg.tls(cfg.Proxy.DiscoveryAddress, cfg.Trust.XDSRoot)
	if err != nil {
		return nil, fmt.Errorf("control plane %s: %w", cfg.Proxy.DiscoveryAddress, err)
	}
	names, err := p.addDNS(cfg, registry)
	if err != nil {
		return nil, err
	}
	secrets, err := p.addSecrets(cfg, registry)
	if err != nil {
		return nil, err
	}
	p.addXDS(cfg, registry, cfg.withOwnCertificate(secrets.Trusting(xdsTLS)), names, secrets, late)
	counted := connections.New(connections.Config{MaxOpen: maxConnections, MaxSeries: cfg.seriesLimit(), Idle: cfg.Node.StatsEviction(), Now: time.Now})
	counted.Register(registry)
	watched := tap.New(tap.Config{SocketPath: cfg.tapSocket(), SetRuntime: p.envoy.SetRuntime, Connections: counted, Logger: cfg.Logger})
	p.services = append(p.services, service{"tap", watched.Run})
	p.status = newStatus(cfg, registry, p.envoy, names, watched, counted, quit)
	return p, nil
}

// process is how Envoy is run.
func (c Config) process() envoy.Config {
	override := c.Envoy.Override
	if c.Envoy.Patches { // both make one argument
		override = ""
	}
	return envoy.Config{
		Path: c.Proxy.BinaryPath,
		Args: envoy.Args(envoy.Options{
			Bootstrap:         c.bootstrapFile(),
			Override:          override,
			DrainDuration:     c.Proxy.DrainDuration,
			IPv6:              c.ipv6(),
			FlushInterval:     c.Proxy.FlushInterval,
			FlushKB:           c.Proxy.FlushKB,
			LogLevel:          c.Envoy.LogLevel,
			ComponentLogLevel: c.Envoy.ComponentLogLevel,
			Concurrency:       c.Envoy.Concurrency,
		}),
		Env:    c.envoyEnvironment(),
		Admin:  c.adminAddress(),
		Drain:  c.Envoy.Drain,
		Stdout: c.Stdout, Stderr: c.Stderr,
		Logger: c.Logger,
	}
}

// The types that the agent asks the control plane for on its own behalf.
const (
	nameTableType   = "type.googleapis.com/istio.networking.nds.v1.NameTable"
	trustBundleType = "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig"
)

// names is the name server with the table that it has, which /debug/ndsz shows.
type names struct {
	server *dns.Server
	table  atomic.Pointer[nds.NameTable]
}

// take takes a name table, marshalled; nil for none any more.
func (n *names) take(value []byte) error {
	t := &nds.NameTable{}
	if err := proto.Unmarshal(value, t); err != nil {
		return fmt.Errorf("name table: %w", err)
	}
	n.table.Store(t)
	n.server.Update(t)
	return nil
}

// Check implements status.Condition.
func (n *names) Check(context.Context) error {
	if !n.server.HasTable() {
		return errors.New("name table (NDS) not received from the control plane")
	}
	return nil
}

// addDNS gives nil names when DNS is off.
func (p *parts) addDNS(cfg Config, registry prometheus.Registerer) (*names, error) {
	if cfg.DNS == nil {
		return nil, nil
	}
	servers, search, err := wire.ResolvConf(cfg.DNS.ResolvConf)
	if err != nil {
		return nil, fmt.Errorf("DNS proxy: %w", err)
	}
	n := &names{server: dns.New(dns.Config{
		Addresses:       cfg.DNS.Addresses,
		Namespace:       cfg.Node.Namespace,
		Domain:          cfg.clusterDomain(),
		Search:          search,
		Nameservers:     servers,
		ForwardTimeout:  cfg.DNS.ForwardTimeout,
		ForwardParallel: cfg.DNS.ForwardParallel,
		Logger:          cfg.Logger,
		Registry:        registry,
	})}
	p.services = append(p.services, service{"DNS proxy", n.server.Run})
	return n, nil
}

func (p *parts) addSecrets(cfg Config, registry prometheus.Registerer) (*secret.Manager, error) {
	address := cfg.Trust.CAAddress
	if address == "" {
		address = cfg.Proxy.DiscoveryAddress
	}
	var trust func() (*tls.Config, error)
	if cfg.Trust.Mounted == nil && cfg.Trust.Socket == "" { // otherwise no CA is asked
		var err error
		if trust, err = cfg.tls(address, cfg.Trust.CARoot); err != nil {
			return nil, fmt.Errorf("CA %s: %w", address, err)
		}
	}
	manager := secret.New(secret.Config{
		Address:           address,
		TLS:               trust,
		Token:             cfg.token,
		Identity:          cfg.identity(),
		ClusterID:         cfg.Trust.ClusterID,
		Headers:           cfg.Trust.CAHeaders,
		TTL:               cfg.Trust.CertTTL,
		GracePeriodRatio:  cfg.Trust.GraceRatio,
		GracePeriodJitter: cfg.Trust.Jitter,
		RSAKeyBits:        cfg.Trust.RSAKeyBits,
		Mounted:           cfg.Trust.Mounted,
		Socket:            cfg.Trust.Socket,
		CRLFile:           cfg.path("var/run/secrets/istio/crl/ca-crl.pem"),
		ProvisionedDir:    cfg.Trust.ProvisionedDir,
		OutputDir:         cfg.Trust.OutputDir,
		Logger:            cfg.Logger,
		Registry:          registry,
	})
	server := sds.New(sds.Config{SocketPath: cfg.sdsSocket(), Secrets: manager, Logger: cfg.Logger})
	p.services = append(p.services, service{"certificates", manager.Run}, service{"SDS server", server.Run})
	return manager, nil
}

func (p *parts) addXDS(cfg Config, registry prometheus.Registerer, trust func() (*tls.Config, error), names *names, secrets *secret.Manager, late *patches) {
	xc := xdsproxy.Config{
		SocketPath: cfg.xdsSocket(),
		Address:    cfg.Proxy.DiscoveryAddress,
		TLS:        trust,
		Token:      cfg.token,
		ClusterID:  cfg.Trust.ClusterID,
		Headers:    cfg.Trust.XDSHeaders,
		Logger:     cfg.Logger,
		Registry:   registry,
	}
	if names != nil {
		xc.Own = append(xc.Own, xdsproxy.Own{TypeURL: nameTableType, Take: names.take})
	}
	if cfg.Trust.Mounted == nil && cfg.Trust.Socket == "" { // otherwise the files, or the socket, say whom to trust
		xc.Own = append(xc.Own, xdsproxy.Own{TypeURL: trustBundleType, Take: secrets.TakeTrust})
	}
	if cfg.Envoy.Patches {
		xc.Own = append(xc.Own, xdsproxy.Own{TypeURL: bootstrappb.Type, Take: late.take})
		xc.OnConnection = func(connected bool) {
			if connected {
				late.served.Store(true)
			}
		}
	}
	proxy := xdsproxy.New(xc)
	late.fetch = proxy.Fetch
	p.services = append(p.services, service{"xDS proxy", proxy.Run}, service{"root of the certificate", func(ctx context.Context) error {
		return secrets.TellSigner(ctx, proxy.SetSigner)
	}})
	if cfg.Probe != nil {
		p.services = append(p.services, service{"health of the application", health.New(cfg.Probe, proxy.SetHealth, cfg.Logger).Run})
	}
	if cfg.DebugPort > 0 {
		tap := xdsproxy.NewTap(proxy, net.JoinHostPort("localhost", strconv.Itoa(cfg.DebugPort)))
		p.services = append(p.services, service{"questions of tools", tap.Run})
	}
}

// tls gives the settings for an address, nil for plaintext. They are made once here, so that an
// absent root is an error before anything starts.
func (c Config) tls(address, root string) (func() (*tls.Config, error), error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("want host:port: %w", err)
	}
	if c.plaintext(address) {
		c.Logger.Warn("calls go without TLS", "address", address)
		return nil, nil
	}
	trust := secret.ServerTLS(root, c.serverName(address))
	if _, err := trust(); err != nil {
		return nil, err
	}
	return trust, nil
}

// withOwnCertificate lets the workload prove itself to the control plane by files, where there are any.
func (c Config) withOwnCertificate(trust func() (*tls.Config, error)) func() (*tls.Config, error) {
	own := c.Trust.Mounted
	if dir := c.Trust.ProvisionedDir; dir != "" {
		own = secret.MountedIn(dir)
	}
	if trust == nil || own == nil {
		return trust
	}
	return secret.WithCertificate(trust, own.Cert, own.Key)
}

func newStatus(cfg Config, registry *prometheus.Registry, proxy *envoy.Process, names *names, watched *tap.Tap, counted *connections.Counter, quit func()) *status.Server {
	sc := status.Config{
		Address: fmt.Sprintf(":%d", cfg.Proxy.StatusPort),
		Ready:   []status.Condition{status.NewEnvoyReady(cfg.adminAddress())},
		Metrics: status.MetricsConfig{
			EnvoyURL:  fmt.Sprintf("http://%s/stats/prometheus", cfg.adminAddress()),
			AppURLs:   cfg.AppMetrics,
			LocalOnly: cfg.MetricsLocalOnly,
			Workload:  cfg.workload(), Connections: counted,
		},
		Probers:    cfg.Probers,
		ProbeToken: cfg.ProbeToken,
		PodIP:      cfg.probedIP(),
		Drain:      proxy.Drain,
		Quit:       quit,
		Tap:        watched,
		NoProfiles: cfg.NoProfiling,
		Logger:     cfg.Logger,
		Registry:   registry,
	}
	if names != nil {
		sc.Ready = append(sc.Ready, names)
		sc.NameTable = func() any { return names.table.Load() }
	}
	return status.New(sc)
}
