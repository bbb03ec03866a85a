package bootstrap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
)

// addTelemetry gives the tracer and the sinks of metrics that ProxyConfig names, and returns the clusters
// that they, and the access logs that the control plane configures, are sent to.
func (c Config) addTelemetry(b object) (list, error) {
	p := c.Proxy
	var clusters list
	tracer, cluster, err := c.tracer()
	if err != nil {
		return nil, err
	}
	if tracer != nil {
		b["tracing"] = object{"http": tracer}
		clusters = append(clusters, cluster)
	}
	var sinks list
	for _, s := range []struct {
		field, cluster string
		service        proxyconfig.RemoteService
		sink           object
	}{
		{"envoyMetricsService", "envoy_metrics_service", p.Metrics, object{
			"name": "envoy.stat_sinks.metrics_service",
			"typed_config": object{
				"@type":                 "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
				"transport_api_version": "V3",
				"grpc_service":          object{"envoy_grpc": object{"cluster_name": "envoy_metrics_service"}},
			},
		}},
		{"envoyAccessLogService", "envoy_accesslog_service", p.AccessLog, nil},
	} {
		if s.service.Address == "" {
			continue
		}
		cluster, err := c.remoteCluster(s.cluster, s.field+".address", s.service.Address, s.service.TLS, true)
		if err != nil {
			return nil, err
		}
		if k := s.service.TCPKeepalive; len(k) > 0 {
			cluster["upstream_connection_options"] = object{"tcp_keepalive": keepalive(k)}
		}
		clusters = append(clusters, cluster)
		if s.sink != nil {
			sinks = append(sinks, s.sink)
		}
	}
	if p.StatsdAddress != "" {
		host, port, err := splitAddress(p.StatsdAddress)
		if err != nil {
			return nil, fmt.Errorf("bootstrap: statsdUdpAddress: %w", err)
		}
		sinks = append(sinks, object{
			"name": "envoy.stat_sinks.statsd",
			"typed_config": object{
				"@type":   "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
				"address": socketAddress(host, port),
			},
		})
	}
	if len(sinks) > 0 {
		b["stats_sinks"] = sinks
	}
	return clusters, nil
}

// tracer gives the tracer of listeners whose tracing names no provider, and its cluster; nil for none.
func (c Config) tracer() (tracer, cluster object, err error) {
	t := c.Proxy.Tracing
	switch {
	case t.Zipkin != "":
		cluster, err = c.remoteCluster("zipkin", "tracing.zipkin.address", t.Zipkin, t.TLS, false)
		tracer = object{
			"name": "envoy.tracers.zipkin",
			"typed_config": object{
				"@type":                      "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
				"collector_cluster":          "zipkin",
				"collector_endpoint":         "/api/v2/spans",
				"collector_endpoint_version": "HTTP_JSON",
				"trace_id_128bit":            true,
				"shared_span_context":        false,
			},
		}
	case t.Datadog != "":
		cluster, err = c.remoteCluster("datadog_agent", "tracing.datadog.address", t.Datadog, t.TLS, false)
		tracer = object{
			"name": "envoy.tracers.datadog",
			"typed_config": object{
				"@type":             "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
				"collector_cluster": "datadog_agent",
				"service_name":      c.Node.ServiceName(c.Proxy),
			},
		}
	}
	return tracer, cluster, err
}

// keepalive has Envoy's names for Istio's TcpKeepalive, whose durations are seconds with a suffix.
func keepalive(in map[string]any) object {
	out := object{}
	if probes, ok := in["probes"]; ok {
		out["keepalive_probes"] = probes
	}
	for from, to := range map[string]string{"time": "keepalive_time", "interval": "keepalive_interval"} {
		if text, ok := in[from].(string); ok {
			if seconds, err := proxyconfig.Seconds(text); err == nil {
				out[to] = seconds
			}
		}
	}
	return out
}

// remoteCluster is a cluster outside of the pod, found by DNS.
func (c Config) remoteCluster(name, field, address string, tls *proxyconfig.TLS, http2 bool) (object, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %s: %w", field, err)
	}
	family := "V4_ONLY"
	if c.ipv6() {
		family = "V6_ONLY"
	}
	out := tcpCluster(name, "STRICT_DNS", host, port)
	out["dns_lookup_family"] = family
	if http2 {
		out["typed_extension_protocol_options"] = http2Options(nil)
	}
	socket, err := upstreamTLS(tls, http2)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %s: tlsSettings: %w", field, err)
	}
	if socket != nil {
		out["transport_socket"] = socket
	}
	return out, nil
}

// upstreamTLS is the transport socket of a remote cluster, whose files the agent serves; nil for plaintext.
func upstreamTLS(t *proxyconfig.TLS, http2 bool) (object, error) {
	if t == nil || t.Mode == "" || t.Mode == "DISABLE" {
		return nil, nil
	}
	common, root := object{}, "file-root:"+t.CACertificates
	if t.CACertificates == "" {
		root = "file-root:system"
	}
	if t.CRL != "" {
		root += "~" + t.CRL
	}
	switch t.Mode {
	case "SIMPLE":
	case "MUTUAL":
		common["tls_certificate_sds_secret_configs"] = list{sdsSecret("file-cert:" + t.ClientCertificate + "~" + t.PrivateKey)}
	case "ISTIO_MUTUAL":
		root = rootOf(t.SubjectAltNames)
		common["tls_certificate_sds_secret_configs"] = list{sdsSecret("default")}
	default:
		return nil, fmt.Errorf("mode: %q is none of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL", t.Mode)
	}
	if !t.InsecureSkipVerify {
		common["combined_validation_context"] = validation(root, t.SubjectAltNames)
	}
	if http2 {
		common["alpn_protocols"] = list{"h2"}
	}
	context := object{
		"@type":              "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
		"common_tls_context": common,
	}
	if t.SNI != "" {
		context["sni"] = t.SNI
	}
	return object{"name": "envoy.transport_sockets.tls", "typed_config": context}, nil
}

// rootOf names the roots of a server that has to have one of some names: those of the mesh, and of the names' trust
// domains. Where trust domains have roots of their own, Envoy checks no names but identities, and takes all without
// names, so that only the mesh's count then.
func rootOf(names []string) string {
	var domains []string
	for _, n := range names {
		identity, ok := strings.CutPrefix(n, "spiffe://")
		if !ok {
			return "ROOTCA"
		}
		domain, _, _ := strings.Cut(identity, "/")
		domains = append(domains, domain)
	}
	if len(domains) == 0 {
		return "ROOTCA"
	}
	slices.Sort(domains)
	return "ROOTCA-with:" + strings.Join(slices.Compact(domains), ",")
}

func validation(root string, names []string) object {
	context := object{}
	if len(names) > 0 {
		var matches list
		for _, n := range names {
			kind := "DNS"
			if strings.Contains(n, "://") {
				kind = "URI"
			}
			matches = append(matches, object{"san_type": kind, "matcher": object{"exact": n}})
		}
		context["match_typed_subject_alt_names"] = matches
	}
	return object{"default_validation_context": context, "validation_context_sds_secret_config": sdsSecret(root)}
}

// sdsSecret is a secret that the agent serves.
func sdsSecret(name string) object {
	return object{"name": name, "sds_config": object{
		"resource_api_version": "V3",
		"api_config_source": object{
			"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
			"grpc_services": list{object{"envoy_grpc": object{"cluster_name": "sds-grpc"}}},
		},
	}}
}
