package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent"
	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/agent/health"
	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/agent/status"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// defaultConcurrency holds where neither configuration nor a CPU limit says anything.
const defaultConcurrency = 2

// newConfig gathers what flags, environment and the pod's files say.
func newConfig(kind string, f proxyFlags, env map[string]string, logger *slog.Logger) (agent.Config, error) {
	labels, err := bootstrap.ReadPodInfo(filepath.Join(f.root, "etc/istio/pod/labels"))
	if err != nil {
		return agent.Config{}, err
	}
	annotations, err := bootstrap.ReadPodInfo(filepath.Join(f.root, "etc/istio/pod/annotations"))
	if err != nil {
		return agent.Config{}, err
	}
	proxy, err := resolveProxyConfig(f, env, annotations)
	if err != nil {
		return agent.Config{}, err
	}
	env = maps.Clone(env)
	maps.Copy(env, proxy.Metadata) // the pod's own annotation wins over what its container was given

	labels, labelsErr := machineLabels(labels, env["ISTIO_METAJSON_LABELS"])
	v := &variables{env: env}
	if v.boolean("DISABLE_ENVOY") {
		return agent.Config{}, errors.New("DISABLE_ENVOY: an agent without Envoy (proxyless gRPC) is not supported")
	}
	cfg := agent.Config{
		Root:             f.root,
		Node:             node(kind, f, env, labels, annotations),
		Proxy:            proxy,
		Envoy:            envoyConfig(kind, f, v, proxy),
		Trust:            trustConfig(f, v),
		DNS:              dnsConfig(kind, f, v),
		DebugPort:        debugPort(v),
		ProbeToken:       env["PILOTHOUSE_PROBE_TOKEN"],
		ProbeLocalhost:   v.boolean("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"),
		MetricsLocalOnly: v.boolean("METRICS_LOCALHOST_ACCESS_ONLY"),
		NoProfiling:      !f.profiling,
		Logger:           logger,
	}
	if cfg.Node.IPs, err = instanceIPs(env["INSTANCE_IP"], annotations["traffic.sidecar.istio.io/excludeInterfaces"]); err != nil {
		return agent.Config{}, err
	}
	if cfg.Envoy.Override, err = override(env["ISTIO_BOOTSTRAP_OVERRIDE"]); err != nil {
		return agent.Config{}, err
	}
	// What concerns the application alone must not keep its proxy from running.
	var problems []error
	cfg.Probers, problems = status.ParseProbers(env["ISTIO_KUBE_APP_PROBERS"])
	if cfg.AppMetrics, err = status.ParseScrape(env["ISTIO_PROMETHEUS_ANNOTATIONS"], proxy.StatusPort); err != nil {
		problems = append(problems, err)
	}
	if labelsErr != nil {
		problems = append(problems, labelsErr)
	}
	if cfg.Probe, err = probe(proxy, inPod(f.root, env)); err != nil {
		problems = append(problems, fmt.Errorf("ProxyConfig: %w", err))
	}
	problems = append(problems, ineffective(f, env, annotations, proxy)...)
	for _, p := range problems {
		logger.Error("left out", "error", p)
	}
	return cfg, errors.Join(v.errs...)
}

// inPod tells a pod from a machine: the kubelet gives a pod its labels as files, and every container the API
// server's address.
func inPod(root string, env map[string]string) bool {
	_, err := os.Stat(filepath.Join(root, "etc/istio/pod"))
	return err == nil || env["KUBERNETES_SERVICE_HOST"] != ""
}

// machineLabels gives the pod's labels. A machine is not given any by a kubelet, so its environment says them.
func machineLabels(pod map[string]string, text string) (map[string]string, error) {
	if len(pod) > 0 || text == "" {
		return pod, nil
	}
	out := map[string]string{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return pod, fmt.Errorf("ISTIO_METAJSON_LABELS: %w", err)
	}
	return out, nil
}

// probe gives that of a machine's application.
func probe(p *proxyconfig.Config, pod bool) (*health.Probe, error) {
	raw := p.Raw["readinessProbe"]
	if pod && raw != nil {
		return nil, errors.New("readinessProbe has no effect: a pod is probed by its kubelet")
	}
	return health.Parse(raw)
}

// ineffective names what Istio's agent would act on, and this one does not.
func ineffective(f proxyFlags, env, annotations map[string]string, p *proxyconfig.Config) []error {
	var out []error
	note := func(is bool, what, why string) {
		if is {
			out = append(out, fmt.Errorf("%s has no effect: %s", what, why))
		}
	}
	note(f.stsPort != 0, "--stsPort", "there is no exchange of tokens for Google's services")
	note(env["GRPC_XDS_BOOTSTRAP"] != "", "GRPC_XDS_BOOTSTRAP", "applications that speak xDS themselves (proxyless gRPC) are not supported")
	note(p.Tracing.Unsupported != "", "ProxyConfig: tracing."+p.Tracing.Unsupported, "Envoy has no such tracer any longer; use an OpenTelemetry provider")
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		note(name == "sidecar.istio.io/statsHistogramBins", "annotation "+name, "Envoy's statistics keep their bins")
		note(name == "readiness.status.sidecar.istio.io/applicationPorts", "annotation "+name, "a proxy is ready when it has its configuration")
		note(strings.HasPrefix(name, "ambient.istio.io/"), "annotation "+name, "there is no ambient mode")
	}
	return out
}

// resolveProxyConfig puts the layers in order; single annotations come last.
func resolveProxyConfig(f proxyFlags, env, annotations map[string]string) (*proxyconfig.Config, error) {
	path := f.meshConfig
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.root, path)
	}
	mesh, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--meshConfig: %w", err)
	}
	p, err := proxyconfig.Resolve(
		proxyconfig.Layer{Source: path, Text: string(mesh), Mesh: true},
		proxyconfig.Layer{Source: "PROXY_CONFIG", Text: env["PROXY_CONFIG"]},
		proxyconfig.Layer{Source: "annotation proxy.istio.io/config", Text: annotations["proxy.istio.io/config"]},
		field("sidecar.istio.io/discoveryAddress", "discoveryAddress", annotations),
		field("status.sidecar.istio.io/port", "statusPort", annotations),
	)
	if err != nil {
		return nil, err
	}
	if f.serviceCluster != "" {
		p.ServiceCluster = f.serviceCluster
	}
	// As with Istio the variable comes first, then what ProxyConfig says, then the flag.
	p.Bootstrap = cmp.Or(env["ISTIO_BOOTSTRAP"], p.Bootstrap, f.templateFile)
	// 0 turns the injector's probes off. The agent has its port all the same: metrics are merged there.
	if p.StatusPort == 0 {
		p.StatusPort = telemetry.StatusPort
	}
	return p, nil
}

// field is the layer of an annotation that sets one field.
func field(annotation, name string, annotations map[string]string) proxyconfig.Layer {
	value := annotations[annotation]
	if value == "" {
		return proxyconfig.Layer{}
	}
	return proxyconfig.Layer{Source: "annotation " + annotation, Text: fmt.Sprintf("%s: %q", name, value)}
}

func node(kind string, f proxyFlags, env, labels, annotations map[string]string) bootstrap.Node {
	domain := f.domain
	if domain == "" {
		domain = env["POD_NAMESPACE"] + ".svc.cluster.local"
	}
	return bootstrap.Node{
		Type:           kind,
		Pod:            env["POD_NAME"],
		Namespace:      env["POD_NAMESPACE"],
		Domain:         domain,
		ServiceAccount: env["SERVICE_ACCOUNT"],
		Labels:         labels,
		Annotations:    annotations,
		Env:            env,
	}
}

func envoyConfig(kind string, f proxyFlags, v *variables, p *proxyconfig.Config) agent.EnvoyConfig {
	c := agent.EnvoyConfig{
		LogLevel:          f.logLevel,
		ComponentLogLevel: f.componentLogLevel,
		HealthPort:        v.integer("ENVOY_STATUS_PORT", bootstrap.HealthPort),
		PrometheusPort:    v.integer(prometheusPort, bootstrap.PrometheusPort),
		OutlierLogPath:    f.outlierLogPath,
		LogAsJSON:         f.logAsJSON,

		SecureMetricsPort:       v.integer("ENVOY_SECURE_METRICS_PORT", 0),
		SecureMergedMetricsPort: v.integer("ENVOY_SECURE_MERGED_METRICS_PORT", 0),

		Patches:         v.boolean("BOOTSTRAP_XDS_AGENT"),
		StateOfTheWorld: v.env["ISTIO_DELTA_XDS"] != "" && !v.boolean("ISTIO_DELTA_XDS"),
		Drain: envoy.DrainPolicy{
			InboundOnly: kind == "sidecar",
			Wait:        p.TerminationDrain,
			UntilIdle:   v.boolean("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"),
			Minimum:     v.duration("MINIMUM_DRAIN_DURATION", "5s"),
		},
	}
	switch {
	case f.concurrency >= 0:
		c.Concurrency = f.concurrency
	case p.Concurrency != nil:
		c.Concurrency = *p.Concurrency
	default:
		c.Concurrency = v.integer("ISTIO_CPU_LIMIT", defaultConcurrency)
	}
	return c
}

// override reads further bootstrap, which Envoy itself merges over the built one.
func override(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("ISTIO_BOOTSTRAP_OVERRIDE: %w", err)
	}
	return string(data), nil
}

func trustConfig(f proxyFlags, v *variables) agent.TrustConfig {
	usual := rootFile(f.root, v)
	root := func(name string) string { return v.text(name, usual) }
	c := agent.TrustConfig{
		TokenFile:   filepath.Join(f.root, "var/run/secrets/tokens/istio-token"),
		XDSRoot:     root("XDS_ROOT_CA"),
		CARoot:      root("CA_ROOT_CA"),
		CAAddress:   v.env["CA_ADDR"],
		ServerName:  v.env["ISTIOD_SAN"],
		TrustDomain: v.text("TRUST_DOMAIN", "cluster.local"),
		ClusterID:   v.text("ISTIO_META_CLUSTER_ID", "Kubernetes"),
		XDSHeaders:  v.prefixed("XDS_HEADER_"),
		CAHeaders:   v.prefixed("CA_HEADER_"),
		CertTTL:     v.duration("SECRET_TTL", "24h"),
		GraceRatio:  v.number("SECRET_GRACE_PERIOD_RATIO"),
		Jitter:      v.number("SECRET_GRACE_PERIOD_RATIO_JITTER"),
	}
	c.Mounted, c.ProvisionedDir, c.OutputDir = mountedCertificate(f.root, v), v.env["PROV_CERT"], v.env["OUTPUT_CERTS"]
	c.Socket = workloadSocket(f.root, v)
	// Keys are ECDSA unless a size for RSA is asked for.
	if v.env["ECC_SIGNATURE_ALGORITHM"] == "" {
		c.RSAKeyBits = v.integer("WORKLOAD_RSA_KEY_SIZE", 0)
	}
	return c
}

// rootFile gives the file with the control plane's root, in Istio's order: the one that a virtual machine is
// given beside its certificates, what PILOT_CERT_PROVIDER means, the one beside PROV_CERT or the mounted
// certificate, and that of a pod.
func rootFile(root string, v *variables) string {
	machine := filepath.Join(root, "etc/certs/root-cert.pem")
	if _, err := os.Stat(machine); err == nil {
		return machine
	}
	switch {
	case v.env["PILOT_CERT_PROVIDER"] == "kubernetes":
		return filepath.Join(root, "var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
	case v.env["PROV_CERT"] != "":
		return secret.MountedIn(v.env["PROV_CERT"]).Root
	case v.env["FILE_MOUNTED_CERTS"] != "" && mountedCertificate(root, v) != nil:
		return mountedCertificate(root, v).Root
	case v.env["PILOT_CERT_PROVIDER"] == "none":
		return "SYSTEM"
	}
	return filepath.Join(root, "var/run/secrets/istio/root-cert.pem")
}

// mountedCertificate gives the files of the workload's certificate where no CA is to be asked: those that
// FILE_MOUNTED_CERTS stands for, or those that the platform put into the pod.
func mountedCertificate(root string, v *variables) *secret.Mounted {
	if v.boolean("FILE_MOUNTED_CERTS") {
		m := secret.MountedIn(filepath.Join(root, "etc/certs"))
		m.Cert = v.text("ISTIO_META_TLS_CLIENT_CERT_CHAIN", m.Cert)
		m.Key = v.text("ISTIO_META_TLS_CLIENT_KEY", m.Key)
		m.Root = v.text("ISTIO_META_TLS_CLIENT_ROOT_CERT", m.Root)
		return m
	}
	m := secret.MountedIn(filepath.Join(root, "var/run/secrets/workload-spiffe-credentials"))
	for _, file := range []string{m.Cert, m.Key, m.Root} {
		if _, err := os.Stat(file); err != nil {
			return nil
		}
	}
	return m
}

// workloadSocket gives the socket from which another serves the workload's identity, such as a SPIRE agent: the
// usual one where somebody serves it, or the one that WORKLOAD_IDENTITY_SOCKET_FILE names beside it, which has to be
// there. Mounted certificates come first.
func workloadSocket(root string, v *variables) string {
	usual := filepath.Join(root, agent.WorkloadSocket)
	path := filepath.Join(filepath.Dir(usual), v.text("WORKLOAD_IDENTITY_SOCKET_FILE", filepath.Base(usual)))
	switch {
	case v.boolean("FILE_MOUNTED_CERTS"):
		return ""
	case secret.Served(context.Background(), path):
		return path
	case path != usual:
		v.errs = append(v.errs, fmt.Errorf("WORKLOAD_IDENTITY_SOCKET_FILE: nobody serves %s", path))
	}
	return ""
}

// dnsConfig gives nil when DNS is off: on for sidecars whose DNS is captured, and on demand.
func dnsConfig(kind string, f proxyFlags, v *variables) *agent.DNSConfig {
	captured := kind == "sidecar" && v.boolean("ISTIO_META_DNS_CAPTURE")
	if !captured && !v.boolean("ISTIO_META_ENABLE_DNS_SERVER") {
		return nil
	}
	c := &agent.DNSConfig{
		ResolvConf:      filepath.Join(f.root, "etc/resolv.conf"),
		ForwardTimeout:  v.duration("DNS_FORWARD_TIMEOUT", "5s"),
		ForwardParallel: v.boolean("DNS_FORWARD_PARALLEL"),
	}
	if address := v.env["DNS_PROXY_ADDR"]; address != "" {
		c.Addresses = []string{address}
	}
	return c
}

// debugPort gives the port on which tools ask the control plane through the agent, 0 where they may not.
func debugPort(v *variables) int {
	if v.env["PROXY_XDS_DEBUG_VIA_AGENT"] != "" && !v.boolean("PROXY_XDS_DEBUG_VIA_AGENT") {
		return 0
	}
	return v.integer("PROXY_XDS_DEBUG_VIA_AGENT_PORT", 15004)
}

// instanceIPs gives the pod's own address first, then those of its interfaces.
func instanceIPs(own, excluded string) ([]string, error) {
	var ips []string
	seen := map[string]bool{}
	add := func(ip string) {
		if ip != "" && !seen[ip] {
			seen[ip] = true
			ips = append(ips, ip)
		}
	}
	for _, ip := range strings.Split(own, ",") {
		add(strings.TrimSpace(ip))
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("the pod's addresses: %w", err)
	}
	skip := map[string]bool{}
	for _, name := range strings.Split(excluded, ",") {
		skip[strings.TrimSpace(name)] = true
	}
	for _, i := range interfaces {
		if skip[i.Name] || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("the pod's addresses: %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				add(n.IP.String())
			}
		}
	}
	return ips, nil
}
