// Package proxyconfig resolves the ProxyConfig of one proxy from its layers: built-in defaults,
// the mesh's file, the PROXY_CONFIG variable, the pod's annotation; a later layer wins. It is the
// first step of the agent: bootstrap, supervision and status are all told from its result.
package proxyconfig

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"sigs.k8s.io/yaml"
)

// Layer is one source of configuration, as YAML or JSON text.
type Layer struct {
	// Source names the layer in errors: a file, a variable, an annotation.
	Source string
	// Text is the document; empty means nothing is set.
	Text string
	// Mesh says that the document is a MeshConfig, whose defaultConfig counts.
	Mesh bool
}

// Config is a resolved ProxyConfig: the fields that the agent acts on.
type Config struct {
	// DiscoveryAddress is host:port of the control plane.
	DiscoveryAddress string
	// StatusPort is the agent's own HTTP port.
	StatusPort int
	// AdminPort is the port of Envoy's admin interface, on loopback.
	AdminPort int
	// Concurrency is the number of Envoy's worker threads; 0 is one for each core, nil is unset.
	Concurrency *int
	// DrainDuration is how long connections are drained when a listener goes away.
	DrainDuration time.Duration
	// TerminationDrain is how long the agent waits between draining and stopping Envoy.
	TerminationDrain time.Duration
	// Metadata are further variables for the proxy (proxyMetadata).
	Metadata map[string]string
	// Tracing says where spans go unless the control plane says otherwise.
	Tracing Tracing
	// StatsdAddress is host:port of a statsd server (UDP), or empty.
	StatsdAddress string
	// Metrics and AccessLog are Envoy's gRPC services for metrics and access logs.
	Metrics, AccessLog RemoteService
	// Runtime are values of Envoy's runtime; an empty one removes a default.
	Runtime map[string]string
	// ConnectionLimit bounds the downstream connections of the whole Envoy; 0 is unset.
	ConnectionLimit int
	// Uncompressed turns compression of Envoy's own metrics off.
	Uncompressed bool
	// FlushInterval and FlushKB say when access logs are written to their files; 0 is the default.
	FlushInterval time.Duration
	FlushKB       int
	// Bootstrap is the path of a bootstrap that takes the place of the built one, or empty.
	Bootstrap string
	// NameForTraces says what the node's cluster is called after (tracingServiceName).
	NameForTraces string
	// ExtraStatTags are further tags to extract from statistics' names.
	ExtraStatTags []string
	// StatNameLength is accepted and without effect, as in every Envoy since 1.11.
	StatNameLength int
	// Stats selects further statistics.
	Stats StatsMatcher
	// ServiceCluster is the node's cluster; empty means it follows from labels and namespace.
	ServiceCluster string
	// BinaryPath is Envoy's program; empty means the flag or the PATH decides.
	BinaryPath string
	// Raw is the merged document with all fields, also those that only the control plane reads.
	Raw map[string]any
}

// Tracing is a collector of spans; one of the addresses is set at most.
type Tracing struct {
	// Zipkin and Datadog are host:port.
	Zipkin, Datadog string
	// TLS is how the collector is reached; nil is plaintext.
	TLS *TLS
	// Unsupported names a tracer that upstream Envoy does not have, or is empty.
	Unsupported string
}

// RemoteService is a gRPC service that Envoy sends to.
type RemoteService struct {
	// Address is host:port; empty is none.
	Address      string         `json:"address"`
	TLS          *TLS           `json:"tlsSettings"`
	TCPKeepalive map[string]any `json:"tcpKeepalive"`
}

// TLS is Istio's ClientTLSSettings, as far as files on the node are concerned.
type TLS struct {
	Mode               string   `json:"mode"` // DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL
	ClientCertificate  string   `json:"clientCertificate"`
	PrivateKey         string   `json:"privateKey"`
	CACertificates     string   `json:"caCertificates"`
	CRL                string   `json:"caCrl"` // a file of revocation lists, for CACertificates
	SubjectAltNames    []string `json:"subjectAltNames"`
	SNI                string   `json:"sni"`
	InsecureSkipVerify bool     `json:"insecureSkipVerify"`
}

// StatsMatcher selects the statistics that Envoy keeps, beyond those that are always kept.
type StatsMatcher struct {
	Prefixes []string `json:"inclusionPrefixes,omitempty"`
	Suffixes []string `json:"inclusionSuffixes,omitempty"`
	Regexps  []string `json:"inclusionRegexps,omitempty"`
}

// defaults are Istio's. Concurrency has none here: a CPU limit comes before the default of 2.
const defaults = `{
  "binaryPath": "/usr/local/bin/envoy",
  "configPath": "./etc/istio/proxy",
  "controlPlaneAuthPolicy": "MUTUAL_TLS",
  "discoveryAddress": "istiod.istio-system.svc:15012",
  "drainDuration": "45s",
  "proxyAdminPort": 15000,
  "serviceCluster": "istio-proxy",
  "statNameLength": 189,
  "statusPort": 15020,
  "terminationDrainDuration": "5s"
}`

// DefaultServiceCluster is the service cluster that stands for none.
const DefaultServiceCluster = "istio-proxy"

// Resolve merges the layers over the defaults. A field of a later layer replaces that of an
// earlier one; only proxyMetadata is merged key by key.
func Resolve(layers ...Layer) (*Config, error) {
	raw := map[string]any{}
	if err := merge(raw, Layer{Source: "defaults", Text: defaults}); err != nil {
		return nil, err
	}
	for _, l := range layers {
		if err := merge(raw, l); err != nil {
			return nil, err
		}
	}
	c, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("ProxyConfig: %w", err)
	}
	return c, nil
}

// merge decodes one layer into the document. It is decoded alone first, so that a wrong type is
// reported with the layer that it came from.
func merge(raw map[string]any, l Layer) error {
	if l.Text == "" {
		return nil
	}
	doc := map[string]any{}
	if err := yaml.Unmarshal([]byte(l.Text), &doc); err != nil {
		return fmt.Errorf("ProxyConfig from %s: %w", l.Source, err)
	}
	doc = camelKeys(doc)
	if l.Mesh {
		inner, ok := doc["defaultConfig"]
		if !ok || inner == nil {
			return nil
		}
		if doc, ok = inner.(map[string]any); !ok {
			return fmt.Errorf("ProxyConfig from %s: defaultConfig: want an object, got %T", l.Source, inner)
		}
	}
	if _, err := decode(doc); err != nil {
		return fmt.Errorf("ProxyConfig from %s: %w", l.Source, err)
	}
	for k, v := range doc {
		if v == nil {
			continue
		}
		if k == "proxyMetadata" {
			old, _ := raw[k].(map[string]any)
			merged := maps.Clone(v.(map[string]any)) // decode has seen that it is an object
			for name, value := range old {
				if _, ok := merged[name]; !ok {
					merged[name] = value
				}
			}
			v = merged
		}
		raw[k] = v
	}
	return nil
}

// wire is the JSON form of the fields that the agent reads.
type wire struct {
	DiscoveryAddress         string            `json:"discoveryAddress"`
	StatusPort               integer           `json:"statusPort"`
	ProxyAdminPort           integer           `json:"proxyAdminPort"`
	Concurrency              *integer          `json:"concurrency"`
	DrainDuration            duration          `json:"drainDuration"`
	TerminationDrainDuration duration          `json:"terminationDrainDuration"`
	ProxyMetadata            map[string]string `json:"proxyMetadata"`
	Tracing                  struct {
		Zipkin          collector      `json:"zipkin"`
		Datadog         collector      `json:"datadog"`
		Lightstep       map[string]any `json:"lightstep"`
		Stackdriver     map[string]any `json:"stackdriver"`
		OpenCensusAgent map[string]any `json:"openCensusAgent"`
		TLSSettings     *TLS           `json:"tlsSettings"`
	} `json:"tracing"`
	ZipkinAddress              string            `json:"zipkinAddress"`
	StatsdUDPAddress           string            `json:"statsdUdpAddress"`
	EnvoyMetricsService        RemoteService     `json:"envoyMetricsService"`
	EnvoyMetricsServiceAddress string            `json:"envoyMetricsServiceAddress"`
	EnvoyAccessLogService      RemoteService     `json:"envoyAccessLogService"`
	RuntimeValues              map[string]string `json:"runtimeValues"`
	ConnectionSettings         struct {
		GlobalDownstreamConnectionLimit integer `json:"globalDownstreamConnectionLimit"`
	} `json:"connectionSettings"`
	StatsCompression           *bool        `json:"statsCompression"`
	FileFlushInterval          duration     `json:"fileFlushInterval"`
	FileFlushMinSizeKB         integer      `json:"fileFlushMinSizeKb"`
	CustomConfigFile           string       `json:"customConfigFile"`
	ProxyBootstrapTemplatePath string       `json:"proxyBootstrapTemplatePath"`
	TracingServiceName         string       `json:"tracingServiceName"`
	ExtraStatTags              []string     `json:"extraStatTags"`
	StatNameLength             integer      `json:"statNameLength"`
	ProxyStatsMatcher          StatsMatcher `json:"proxyStatsMatcher"`
	ServiceCluster             string       `json:"serviceCluster"`
	BinaryPath                 string       `json:"binaryPath"`
}

type collector struct {
	Address string `json:"address"`
}

func (w *wire) tracing() Tracing {
	t := Tracing{Zipkin: cmp.Or(w.Tracing.Zipkin.Address, w.ZipkinAddress), Datadog: w.Tracing.Datadog.Address, TLS: w.Tracing.TLSSettings}
	for name, set := range map[string]bool{
		"lightstep": w.Tracing.Lightstep != nil, "stackdriver": w.Tracing.Stackdriver != nil, "openCensusAgent": w.Tracing.OpenCensusAgent != nil,
	} {
		if set {
			t.Unsupported = name
		}
	}
	return t
}

func decode(raw map[string]any) (*Config, error) {
	data, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	for name, port := range map[string]integer{"statusPort": w.StatusPort, "proxyAdminPort": w.ProxyAdminPort} {
		if port < 0 || port > 65535 {
			return nil, fmt.Errorf("%s: %d is no port", name, port)
		}
	}
	c := &Config{
		DiscoveryAddress: w.DiscoveryAddress,
		StatusPort:       int(w.StatusPort),
		AdminPort:        int(w.ProxyAdminPort),
		DrainDuration:    time.Duration(w.DrainDuration),
		TerminationDrain: time.Duration(w.TerminationDrainDuration),
		Metadata:         w.ProxyMetadata,
		Tracing:          w.tracing(),
		StatsdAddress:    w.StatsdUDPAddress,
		Metrics:          w.EnvoyMetricsService,
		AccessLog:        w.EnvoyAccessLogService,
		Runtime:          w.RuntimeValues,
		ConnectionLimit:  int(w.ConnectionSettings.GlobalDownstreamConnectionLimit),
		Uncompressed:     w.StatsCompression != nil && !*w.StatsCompression,
		FlushInterval:    time.Duration(w.FileFlushInterval),
		FlushKB:          int(w.FileFlushMinSizeKB),
		Bootstrap:        cmp.Or(w.CustomConfigFile, w.ProxyBootstrapTemplatePath),
		NameForTraces:    w.TracingServiceName,
		ExtraStatTags:    w.ExtraStatTags,
		StatNameLength:   int(w.StatNameLength),
		Stats:            w.ProxyStatsMatcher,
		ServiceCluster:   w.ServiceCluster,
		BinaryPath:       w.BinaryPath,
		Raw:              raw,
	}
	if c.Metrics.Address == "" {
		c.Metrics.Address = w.EnvoyMetricsServiceAddress
	}
	if c.ConnectionLimit < 0 {
		return nil, fmt.Errorf("connectionSettings.globalDownstreamConnectionLimit: %d is less than 0", c.ConnectionLimit)
	}
	if w.Concurrency != nil {
		if *w.Concurrency < 0 {
			return nil, fmt.Errorf("concurrency: %d is less than 0", *w.Concurrency)
		}
		n := int(*w.Concurrency)
		c.Concurrency = &n
	}
	return c, nil
}
