package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/agent/health"
	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/agent/status"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// Config is everything that one agent is told.
type Config struct {
	// Root is the directory under which the agent's files and sockets lie; "/" in a pod.
	Root string
	// Node is who the proxy is. EnvoyVersion is filled in by Run.
	Node bootstrap.Node
	// Proxy is the resolved ProxyConfig.
	Proxy *proxyconfig.Config
	// Envoy is how Envoy is run.
	Envoy EnvoyConfig
	// Trust is how control plane and CA are reached and believed.
	Trust TrustConfig
	// DebugPort of loopback is where Istio's tools ask the control plane; 0 is none.
	DebugPort int
	// DNS is the name server for the workload; nil when it is off.
	DNS *DNSConfig
	// Probers are the application's probes; who asks for one has to send ProbeToken, unless it is empty.
	Probers    map[string]status.Prober
	ProbeToken string
	// ProbeLocalhost asks the application on loopback instead of the pod's address, as a mesh does whose
	// inbound policy is LOCALHOST.
	ProbeLocalhost bool
	// Probe tells the application's health, which the control plane is told; nil for one that a kubelet probes.
	Probe *health.Probe
	// AppMetrics are the URLs of the application's metrics.
	AppMetrics []string
	// MetricsLocalOnly refuses scrapes from outside the pod.
	MetricsLocalOnly bool
	// NoProfiling leaves out the agent's own profiles, which are served inside the pod.
	NoProfiling bool
	// Hurry, once closed, ends Envoy without draining.
	Hurry <-chan struct{}
	// Stdout and Stderr are Envoy's.
	Stdout, Stderr *os.File
	Logger         *slog.Logger
}

// EnvoyConfig is how Envoy is run.
type EnvoyConfig struct {
	LogLevel, ComponentLogLevel string
	// Concurrency is the number of worker threads; 0 is one for each core.
	Concurrency int
	// Override is further bootstrap, as YAML, merged by Envoy over the built one.
	Override string
	// Patches asks the control plane, before Envoy starts, what EnvoyFilters put over the bootstrap.
	Patches bool
	// HealthPort and PrometheusPort are Envoy's own listeners; 0 is 15021 and 15090.
	HealthPort, PrometheusPort int
	// SecureMetricsPort and SecureMergedMetricsPort serve metrics by mutual TLS; 0 is none.
	SecureMetricsPort, SecureMergedMetricsPort int
	OutlierLogPath                             string
	LogAsJSON                                  bool
	StateOfTheWorld                            bool
	Drain                                      envoy.DrainPolicy
	// MemoryLimit of the container that agent and Envoy are in, in bytes; 0 is none.
	MemoryLimit int64
}

// TrustConfig is how control plane and CA are reached and believed.
type TrustConfig struct {
	// TokenFile holds the service account's token; it may be absent.
	TokenFile string
	// XDSRoot and CARoot are files with root certificates, or SYSTEM.
	XDSRoot, CARoot string
	// CAAddress is host:port of the CA; empty means the discovery address.
	CAAddress string
	// ServerName is the name that both must prove; empty means the host of their address.
	ServerName  string
	TrustDomain string
	ClusterID   string
	// XDSHeaders and CAHeaders are further headers of the calls.
	XDSHeaders, CAHeaders map[string]string
	// CertTTL, GraceRatio and Jitter are the certificate's lifetime and when it is renewed; 0 is
	// the usual.
	CertTTL            time.Duration
	GraceRatio, Jitter float64
	// RSAKeyBits asks for an RSA key; 0 is ECDSA P-256.
	RSAKeyBits int
	// Mounted are files with the workload's certificate, so that no CA is asked; nil for none.
	Mounted *secret.Mounted
	// Socket is where another, such as a SPIRE agent, serves the workload's certificate and roots by SDS, so that no
	// CA is asked; empty for none.
	Socket string
	// ProvisionedDir has a certificate that proves the workload to control plane and CA without a token;
	// empty for none.
	ProvisionedDir string
	// OutputDir is given the workload's certificate and key; empty for none.
	OutputDir string
}

// DNSConfig is the name server for the workload.
type DNSConfig struct {
	Addresses       []string // empty is 127.0.0.1:15053
	ResolvConf      string
	ForwardTimeout  time.Duration
	ForwardParallel bool
}

// plaintextPort is the control plane's port without TLS.
const plaintextPort = "15010"

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Root}, elem...)...)
}

// The places that Istio's users, images and templates know, under Root.
func (c Config) xdsSocket() string     { return c.path("etc/istio/proxy/XDS") }
func (c Config) bootstrapFile() string { return c.path("etc/istio/proxy/envoy-rev.json") }
func (c Config) tapSocket() string     { return c.path("etc/istio/proxy/TAP") }
func (c Config) sdsSocket() string {
	if c.Trust.Socket != "" { // the usual place may be taken, and its directory be read-only
		return c.path("etc/istio/proxy/SDS")
	}
	return c.path(WorkloadSocket)
}

// WorkloadSocket is the place, under Root, of the socket from which the workload's identity comes.
const WorkloadSocket = "var/run/secrets/workload-spiffe-uds/socket"

func (c Config) adminAddress() string {
	return net.JoinHostPort(c.loopback(), fmt.Sprint(c.Proxy.AdminPort))
}

// loopback is where Envoy binds what only the pod itself may reach.
func (c Config) loopback() string {
	if c.ipv6() {
		return "::1"
	}
	return "127.0.0.1"
}

func (c Config) ipv6() bool { return c.podIP().Is6() }

// podIP is the pod's first address; the zero value when there is none, which Build refuses.
func (c Config) podIP() netip.Addr {
	if len(c.Node.IPs) == 0 {
		return netip.Addr{}
	}
	ip, err := netip.ParseAddr(c.Node.IPs[0])
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// probedIP is where the application is probed.
func (c Config) probedIP() netip.Addr {
	ip := c.podIP()
	switch {
	case !c.ProbeLocalhost:
		return ip
	case ip.Is6():
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// clusterDomain is the node's domain without namespace: cluster.local.
func (c Config) clusterDomain() string {
	return strings.TrimPrefix(strings.TrimPrefix(c.Node.Domain, c.Node.Namespace+"."), "svc.")
}

func (c Config) identity() string {
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", c.Trust.TrustDomain, c.Node.Namespace, c.Node.ServiceAccount)
}

// workload is the proxy's own, as metrics name it.
func (c Config) workload() telemetry.Workload {
	w := telemetry.WorkloadOf(c.Node.Env["ISTIO_META_WORKLOAD_NAME"], c.Node.Namespace, c.Trust.ClusterID, c.Node.Labels)
	w.Principal = c.identity()
	return w
}

// seriesLimit is what the mesh says, which Envoy is told by the control plane.
func (c Config) seriesLimit() int {
	limit, err := telemetry.SeriesLimit(c.Node.Env[telemetry.SeriesVariable])
	if err != nil {
		c.Logger.Warn("series are bounded by the default", "variable", telemetry.SeriesVariable, "error", err)
	}
	return limit
}

// envoyEnvironment is what Envoy's process is told of the proxy, beside the agent's own environment, which it
// has too.
func (c Config) envoyEnvironment() map[string]string {
	out := c.workload().TraceEnvironment(cmp.Or(c.Node.Env["ISTIO_META_MESH_ID"], c.Trust.TrustDomain))
	maps.Copy(out, c.peerEnvironment())
	out[telemetry.ResourceVariable] = telemetry.ResourceAttributes(c.Node.Env[telemetry.ResourceVariable], c.Node.Env[telemetry.ServiceVariable], c.Node.ServiceName(c.Proxy))
	out[telemetry.DatadogVariable] = cmp.Or(c.Node.Env[telemetry.DatadogVariable], c.Node.ServiceName(c.Proxy))
	return out
}

// peerEnvironment is what the proxy's servers are told of it.
func (c Config) peerEnvironment() map[string]string {
	out, err := c.workload().PeerEnvironment()
	if err != nil { // a label that is no UTF-8
		c.Logger.Warn("servers are not told who calls them", "error", err)
	}
	return out
}

// token reads the token anew, since the platform renews it; without a file the call is made
// without identity.
func (c Config) token() (string, error) {
	if c.Trust.TokenFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(c.Trust.TokenFile)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("service account token: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// plaintext says whether an address is called without TLS: by its port, or because the ProxyConfig
// says so of the control plane.
func (c Config) plaintext(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == plaintextPort ||
		address == c.Proxy.DiscoveryAddress && c.Proxy.Raw["controlPlaneAuthPolicy"] == "NONE"
}

func (c Config) serverName(address string) string {
	if c.Trust.ServerName != "" {
		return c.Trust.ServerName
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
