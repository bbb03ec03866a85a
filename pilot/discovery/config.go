// Package discovery puts the stages of the control plane together: sources into the store, its
// commits into the views, the views onto the wire, and beside them the CA, the debug pages and
// the metrics. It is where to start reading; nothing is decided here.
package discovery

import (
	"cmp"
	"log/slog"
	"strings"
	"time"

	security "istio.io/api/security/v1beta1"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/names"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
)

// Config of a control plane.
type Config struct {
	// ConfigDirs hold YAML; an object of a later one replaces that of an earlier one. Without any the
	// objects are those of the API server that Kube leads to.
	ConfigDirs []string
	Kube       *rest.Config
	// Revision of the control plane; "" is the default one.
	Revision string
	// Namespace of the control plane in its cluster.
	Namespace string
	// NativeSidecars says whether sidecars are init containers that stay: "true", "false", or "auto" for
	// where all nodes have them.
	NativeSidecars string
	// Settings decide about all proxies.
	Settings resolve.Settings
	// HTTPSAddr is where the API server reaches the webhooks; empty for nowhere.
	HTTPSAddr string
	// Environment gives a variable of the process, "" for one that is not set; headers of extension providers may
	// name them. nil where none is known.
	Environment func(name string) string
	// AllowEmpty lets a directory that becomes empty delete what it held at once.
	AllowEmpty bool
	// Domain is the cluster's DNS suffix, ClusterID the name by which proxies know the cluster.
	Domain, ClusterID string
	// Addresses to listen on, host:port; an empty one is not listened on. GRPC is plaintext and
	// without authentication, SecureGRPC is TLS with it, HTTP has /ready, Monitoring /metrics.
	GRPCAddr, SecureGRPCAddr, HTTPAddr, MonitoringAddr string

	// MaxAnonymousStreams bounds the streams of all callers without proof at GRPCAddr; one address gets
	// a fifth of them, and they bring a fifth as many classes. Negative for no bound; zero for 500, or
	// for no bound where GRPCAddr is one that only the machine itself reaches.
	MaxAnonymousStreams int

	// CADir keeps the root of the CA; empty: it lives as long as the process.
	CADir                      string
	DefaultCertTTL, MaxCertTTL time.Duration // zero for the CA's defaults
	// MaxRenewal is how long after its last proof by a token a workload may renew with its certificate alone;
	// zero for the default, a day.
	MaxRenewal time.Duration
	// RootDelivery is how long a kubelet may take until pods see roots that were written; while the root is rotated the
	// new key does not sign before. Zero for incluster.DefaultDelivery.
	RootDelivery time.Duration
	// TokenJWKS is a file of keys, TokenIssuer an OIDC issuer; without both callers are known by
	// their certificates only.
	TokenJWKS, TokenIssuer string
	TokenAudiences         []string
	// JWTRule is a further issuer whose tokens prove service accounts, for callers outside of a cluster; nil for
	// none. Issuer, JwksUri and Audiences count.
	JWTRule *security.JWTRule

	// Resolver asks the DNS for the names of gateways between networks; nil stands for that of the machine.
	Resolver names.Resolver
	// ClosePrivateKeySources refuses to fetch the keys of RequestAuthentications, and SPIFFE bundles, from private
	// addresses.
	ClosePrivateKeySources bool
	// MinBundleRefresh is after what time a SPIFFE bundle is fetched again at the soonest, whatever it wishes; zero
	// for a minute.
	MinBundleRefresh time.Duration

	// MaxConnectionAge ends connections so that proxies spread over replicas; zero never does.
	MaxConnectionAge time.Duration
	// CatchUpTimeout is how long the proxy of a replica that has seen more of the API server waits for this one to
	// see it; zero for 10 s.
	CatchUpTimeout time.Duration
	// RemovalGrace is how long a cluster outlives what used it, which is as long as listeners of the
	// proxies drain; zero for 45 s.
	RemovalGrace time.Duration
	// MachineGrace is how long the health and the registration of a machine hold after its stream has ended; zero
	// for 10 s. UnregisteredMachines makes no WorkloadEntries by WorkloadGroups.
	MachineGrace         time.Duration
	UnregisteredMachines bool
	// Stalled is called where the control plane stands still and only a restart helps; nil for nobody.
	Stalled func()
	// Changes follows each change to the last acknowledgement; nil for none.
	Changes *trace.Recorder
	// Name of this replica and version of the program, for tools.
	Name, Version string
	Logger        *slog.Logger
}

// serverNames are the names by which agents know a control plane.
func (c *Config) serverNames() []string {
	svc := "." + cmp.Or(c.Namespace, model.RootNamespace) + ".svc"
	names := []string{
		"istiod" + svc, "istiod" + svc + "." + c.Domain, "istio-pilot" + svc,
		"istiod" + strings.TrimSuffix(svc, ".svc"), "istiod", "localhost", "127.0.0.1", "::1",
	}
	if c.Revision != "" && c.Revision != "default" {
		host := "istiod-" + c.Revision + svc
		names = append(names, host, host+"."+c.Domain)
	}
	return names
}
