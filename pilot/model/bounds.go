package model

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Bound says which values of a field make something that Envoy takes. A zero value takes nothing
// but what is empty.
type Bound struct {
	// Min and Max bound a number, or a duration in nanoseconds.
	Min, Max int64
	// Step divides a duration.
	Step time.Duration
	// Bytes is how long a text may be.
	Bytes int
	// Lines tells that a text may have several lines.
	Lines bool
}

// extensionProvider begins the names of what is in a provider of the mesh's configuration.
const extensionProvider = "istio.mesh.v1alpha1.MeshConfig.ExtensionProvider."

// Limits that more than one field has.
const (
	// MaxDuration is the longest duration that is taken from a user. Envoy refuses what does not
	// fit into a signed number of nanoseconds, 292 years, and the sum of two may not exceed it
	// either. Nothing in a mesh lasts longer than a year.
	MaxDuration = 365 * 24 * time.Hour

	// MaxRingSize and MaxTableSize are Envoy's bounds of the tables for consistent hashing
	// (RingHashLbConfig.minimum_ring_size and MaglevLbConfig.table_size in cluster.proto).
	MaxRingSize  = 8 << 20
	MaxTableSize = 5000011

	maxKeepalive       = 32767 * time.Second // MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of Linux
	maxKeepaliveProbes = 127                 // MAX_TCP_KEEPCNT
	maxText            = 16 << 10            // core.HeaderValue.value, the shortest that Envoy has for texts
	maxPort            = 65535
)

var (
	// userDuration is what Istio's schemas take of a duration: whole milliseconds, from one on.
	userDuration = Bound{Min: int64(time.Millisecond), Max: int64(MaxDuration), Step: time.Millisecond}
	// orZero is a duration that zero turns off.
	orZero    = Bound{Max: int64(MaxDuration), Step: time.Millisecond}
	keepalive = Bound{Min: int64(time.Second), Max: int64(maxKeepalive), Step: time.Second}
	seconds   = Bound{Max: int64(MaxDuration), Step: time.Second}
	drain     = Bound{Min: int64(time.Second), Max: int64(MaxDuration), Step: time.Second}
	share     = Bound{Max: 100}
	port      = Bound{Min: 1, Max: maxPort}
	// atLeastOne and http2Window are numbers that Envoy reads without a sign.
	atLeastOne  = Bound{Min: 1, Max: math.MaxInt32}
	http2Window = Bound{Min: 65535, Max: math.MaxInt32}
	portOrAny   = Bound{Max: maxPort}
	path        = Bound{Bytes: 4095} // PATH_MAX of Linux, without its zero byte
	document    = Bound{Bytes: 1 << 20, Lines: true}
	logFormat   = Bound{Bytes: 64 << 10, Lines: true}
	answer      = Bound{Min: 1, Max: int64(MaxDuration), Step: 1}
)

// bounds holds the fields whose bound is not that of their type. Sources are Envoy's protos, in
// which a violated rule refuses the resource (Validate), its code, what Envoy 1.40 did when tried
// (test/bounds tries each), the kernel's limits, and Istio's schemas
// (customresourcedefinitions.gen.yaml) and documentation.
var bounds = map[protoreflect.FullName]Bound{
	// core.HeaderMatcher and QueryParameterMatcher in route_components.proto: name max_bytes 1024.
	"istio.networking.v1alpha3.HTTPMatchRequest.QueryParamsEntry.key": {Bytes: 1024},
	// CorsPolicy.max_age is sent as a number of seconds.
	"istio.networking.v1alpha3.CorsPolicy.max_age": seconds,
	// RouteConfiguration.max_direct_response_body_size_bytes, which translation sets to this.
	"istio.networking.v1alpha3.HTTPBody.string": document,
	"istio.networking.v1alpha3.HTTPBody.bytes":  document,
	// RE2 programs of longer ones are large, and are run for every request.
	"istio.networking.v1alpha3.StringMatch.regex":  {Bytes: 1024},
	"istio.networking.v1alpha3.RegexRewrite.match": {Bytes: 1024},

	// Istio's schema has no lower bound for these: zero is a session cookie, or no timeout.
	"istio.networking.v1alpha3.LoadBalancerSettings.ConsistentHashLB.HTTPCookie.ttl": orZero,
	"istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings.idle_timeout":      orZero,
	"istio.networking.v1alpha3.TrafficPolicy.RetryBudget.budget_interval":            orZero,
	// setsockopt(2) refuses more, and with it Envoy every connection (tcp(7), net/tcp.h).
	"istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings.TcpKeepalive.time":     keepalive,
	"istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings.TcpKeepalive.interval": keepalive,
	"istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings.TcpKeepalive.probes":   {Max: maxKeepaliveProbes},
	// UpstreamTlsContext.sni in tls.proto: max_bytes 255.
	"istio.networking.v1alpha3.ClientTLSSettings.sni":                                            {Bytes: 255},
	"istio.networking.v1alpha3.LoadBalancerSettings.ConsistentHashLB.minimum_ring_size":          {Max: MaxRingSize},
	"istio.networking.v1alpha3.LoadBalancerSettings.ConsistentHashLB.RingHash.minimum_ring_size": {Max: MaxRingSize},
	"istio.networking.v1alpha3.LoadBalancerSettings.ConsistentHashLB.MagLev.table_size":          {Max: MaxTableSize},
	"istio.networking.v1alpha3.OutlierDetection.max_ejection_percent":                            share,
	"istio.networking.v1alpha3.OutlierDetection.min_health_percent":                              share,
	"istio.networking.v1alpha3.TrafficPolicy.RetryBudget.percent":                                share,
	"istio.networking.v1alpha3.WarmupConfiguration.minimum_percent":                              share,
	"istio.networking.v1alpha3.OutlierDetection.outlier_detection_http_error_codes":              {Min: 100, Max: 599},
	"istio.networking.v1alpha3.LocalityLoadBalancerSetting.Distribute.ToEntry.value":             share,
	"istio.networking.v1alpha3.Percent.value":                                                    share,
	"istio.networking.v1alpha3.HTTPFaultInjection.Delay.percent":                                 share,
	"istio.networking.v1alpha3.HTTPRoute.mirror_percent":                                         share,
	"istio.networking.v1alpha3.PortSelector.number":                                              port,
	"istio.networking.v1alpha3.HTTPRedirect.port":                                                port,
	"istio.networking.v1alpha3.TrafficPolicy.TunnelSettings.target_port":                         port,
	"istio.networking.v1alpha3.Port.number":                                                      portOrAny, // 0 for a Unix socket
	"istio.networking.v1alpha3.SidecarPort.number":                                               portOrAny, // 0 beside a Unix socket
	"istio.networking.v1alpha3.ServicePort.number":                                               port,
	"istio.networking.v1alpha3.ServicePort.target_port":                                          portOrAny,
	"istio.networking.v1alpha3.WorkloadEntry.PortsEntry.value":                                   port,
	"istio.networking.v1alpha3.HTTPHealthCheckConfig.port":                                       port,
	"istio.networking.v1alpha3.TCPHealthCheckConfig.port":                                        port,
	"istio.networking.v1alpha3.GrpcHealthCheckConfig.port":                                       port,
	"istio.networking.v1alpha3.WorkloadEntry.address":                                            {Bytes: 256},
	"istio.networking.v1alpha3.WorkloadEntry.network":                                            {Bytes: 2048},
	"istio.networking.v1alpha3.WorkloadEntry.locality":                                           {Bytes: 2048},
	"istio.networking.v1alpha3.WorkloadEntry.service_account":                                    {Bytes: 253},
	"istio.networking.v1alpha3.ServiceEntry.addresses":                                           {Bytes: 64},
	"istio.networking.v1alpha3.EnvoyFilter.ListenerMatch.FilterChainMatch.destination_port":      portOrAny,
	"istio.networking.v1alpha3.EnvoyFilter.priority":                                             {Min: math.MinInt32, Max: math.MaxInt32},
	"istio.security.v1beta1.PeerAuthentication.PortLevelMtlsEntry.key":                           port,

	// Istio takes these of a mesh.
	"istio.mesh.v1alpha1.MeshConfig.connect_timeout":            {Min: int64(time.Millisecond), Max: int64(time.Hour), Step: time.Millisecond},
	"istio.mesh.v1alpha1.MeshConfig.protocol_detection_timeout": orZero,
	// Cluster.dns_refresh_rate in cluster.proto has to be longer than a millisecond.
	"istio.mesh.v1alpha1.MeshConfig.dns_refresh_rate":          {Min: int64(2 * time.Millisecond), Max: int64(MaxDuration), Step: time.Millisecond},
	"istio.mesh.v1alpha1.MeshConfig.proxy_listen_port":         port,
	"istio.mesh.v1alpha1.MeshConfig.proxy_http_port":           portOrAny,
	"istio.mesh.v1alpha1.MeshConfig.proxy_inbound_listen_port": port,
	"istio.mesh.v1alpha1.Network.IstioNetworkGateway.port":     port,
	"istio.mesh.v1alpha1.MeshConfig.access_log_file":           path,
	"istio.mesh.v1alpha1.MeshConfig.access_log_format":         logFormat,
	"istio.mesh.v1alpha1.MeshConfig.CertificateData.pem":       document,
	"istio.mesh.v1alpha1.Tracing.sampling":                     share,
	// Envoy's --drain-time-s is in seconds.
	"istio.mesh.v1alpha1.ProxyConfig.drain_duration":   drain,
	"istio.mesh.v1alpha1.ProxyConfig.proxy_admin_port": port,
	// Envoy starts so many threads.
	"istio.mesh.v1alpha1.ProxyConfig.concurrency":              {Max: 1024},
	"istio.mesh.v1alpha1.ProxyConfig.config_path":              path,
	"istio.mesh.v1alpha1.ProxyConfig.binary_path":              path,
	"istio.mesh.v1alpha1.ProxyConfig.ca_certificates_pem":      document,
	"istio.mesh.v1alpha1.ProxyConfig.ProxyMetadataEntry.value": {Bytes: 64 << 10, Lines: true},
	// Nothing answers at once.
	extensionProvider + "EnvoyExternalAuthorizationHttpProvider.timeout":           answer,
	extensionProvider + "EnvoyExternalAuthorizationGrpcProvider.timeout":           answer,
	extensionProvider + "OpenTelemetryTracingProvider.DynatraceSampler.cluster_id": {Min: math.MinInt32, Max: math.MaxInt32},
	extensionProvider + "EnvoyFileAccessLogProvider.LogFormat.text":                logFormat,
	extensionProvider + "EnvoyOpenTelemetryLogProvider.LogFormat.text":             logFormat,
	// Envoy has no connection without a buffer, nor one that lasts for 0 s.
	connectionSettings + "listener_per_connection_buffer_limit_bytes": atLeastOne,
	connectionSettings + "cluster_per_connection_buffer_limit_bytes":  atLeastOne,
	connectionSettings + "listener_connection_limit":                  atLeastOne,
	connectionSettings + "http_max_connection_duration":               userDuration,
	connectionSettings + "http_idle_timeout":                          orZero,
	connectionSettings + "http_drain_timeout":                         orZero,
	connectionSettings + "http_request_timeout":                       orZero,
	connectionSettings + "http_request_headers_timeout":               orZero,
	connectionSettings + "http_stream_idle_timeout":                   orZero,
	connectionSettings + "http_max_stream_duration":                   orZero,
	// Http2ProtocolOptions in protocol.proto.
	connectionSettings + "http_max_concurrent_streams":          atLeastOne,
	connectionSettings + "http2_initial_stream_window_size":     http2Window,
	connectionSettings + "http2_initial_connection_window_size": http2Window,
}

// BoundOf gives the bound of a field, or of a map's key or value.
func BoundOf(fd protoreflect.FieldDescriptor) Bound {
	if b, ok := bounds[fd.FullName()]; ok {
		return b
	}
	switch {
	case fd.Message() != nil && fd.Message().FullName() == duration:
		if strings.HasPrefix(string(fd.FullName()), "istio.mesh.") {
			return Bound{Max: int64(MaxDuration), Step: 1}
		}
		return userDuration
	case fd.Name() == "port" && strings.HasPrefix(string(fd.FullName()), extensionProvider):
		return port
	case fd.Name() == "port" || strings.HasSuffix(string(fd.Name()), "_port"):
		return portOrAny
	}
	return Bound{Max: math.MaxInt64, Bytes: maxText}
}

// Duration gives what a duration is, and whether it is within the bound.
func (b Bound) Duration(d *durationpb.Duration) (time.Duration, bool) {
	if d.CheckValid() != nil || d.GetSeconds() > int64(MaxDuration/time.Second) || d.GetSeconds() < 0 {
		return 0, false // checked before AsDuration, which saturates
	}
	v := d.AsDuration()
	return v, int64(v) >= b.Min && int64(v) <= b.Max && (b.Step <= 1 || v%b.Step == 0)
}

// Ports on which Envoy has listeners of its own, from its bootstrap: health and statistics.
const (
	HealthPort     = 15021
	PrometheusPort = 15090
)

// ReservedPort tells whether a port of a proxy's network namespace is taken by Envoy or the agent:
// their listeners, Envoy's administration (15000), the agent's debug pages (15004), tunnels
// (15008), the agent's status (15020) and DNS (15053).
func ReservedPort(port uint32) bool {
	switch port {
	case 15000, 15001, 15004, 15006, 15008, 15020, HealthPort, 15053, PrometheusPort:
		return true
	}
	return false
}

// AccessLogFile tells whether every proxy can write a file: the outputs of the process, or a file
// right in one of the directories that every proxy's container has writable. Envoy refuses a
// listener whose log it cannot open, and all listeners of a mesh have the same log.
func AccessLogFile(name string) bool {
	switch name {
	case "/dev/stdout", "/dev/stderr", "/dev/null", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1", "/proc/self/fd/2":
		return true
	}
	for _, dir := range []string{"/etc/istio/proxy/", "/var/lib/istio/data/"} {
		file, ok := strings.CutPrefix(name, dir)
		if ok && file != "" && file != "." && file != ".." && len(file) <= 255 && !strings.ContainsAny(file, "/\x00") {
			return true
		}
	}
	return false
}
