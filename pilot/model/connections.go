package model

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Connections is how a proxy takes connections, as its ConnectionSettings say. The zero value leaves all to
// the defaults.
type Connections struct {
	ListenerBuffer, ClusterBuffer                                                      uint32 // bytes; 0 for Envoy's own
	Idle, MaxConnection, Drain, Request, RequestHeaders, StreamIdle, MaxStreamDuration Timeout
	MaxStreams, StreamWindow, ConnectionWindow                                         uint32 // 0 for the default
	// Underscores and EscapedSlashes are names of Istio's enums; "" where they are unspecified.
	Underscores, EscapedSlashes string
	MergeSlashes                Choice
}

// Timeout is a duration that may be left out. One of 0 turns off what it bounds, but for Drain.
type Timeout struct {
	Set bool
	For time.Duration
}

// Pointer gives nil for one that is left out.
func (t Timeout) Pointer() *time.Duration {
	if !t.Set {
		return nil
	}
	return &t.For
}

// Choice is yes, no, or neither.
type Choice struct{ Set, Yes bool }

// NewConnections reads the settings of a proxy, nil ones as well. What Envoy does not take is left out, since
// nothing has checked what a proxy says of itself. The defaults of the profile EDGE are for routers alone, as
// Istio documents it.
func NewConnections(s *meshconfig.ProxyConfig_ConnectionSettings, kind ProxyType) Connections {
	out := Connections{
		ListenerBuffer: count("listener_per_connection_buffer_limit_bytes", s.GetListenerPerConnectionBufferLimitBytes()),
		ClusterBuffer:  count("cluster_per_connection_buffer_limit_bytes", s.GetClusterPerConnectionBufferLimitBytes()),

		Idle:              timeout("http_idle_timeout", s.GetHttpIdleTimeout()),
		MaxConnection:     timeout("http_max_connection_duration", s.GetHttpMaxConnectionDuration()),
		Drain:             timeout("http_drain_timeout", s.GetHttpDrainTimeout()),
		Request:           timeout("http_request_timeout", s.GetHttpRequestTimeout()),
		RequestHeaders:    timeout("http_request_headers_timeout", s.GetHttpRequestHeadersTimeout()),
		StreamIdle:        timeout("http_stream_idle_timeout", s.GetHttpStreamIdleTimeout()),
		MaxStreamDuration: timeout("http_max_stream_duration", s.GetHttpMaxStreamDuration()),

		MaxStreams:       count("http_max_concurrent_streams", s.GetHttpMaxConcurrentStreams()),
		StreamWindow:     count("http2_initial_stream_window_size", s.GetHttp2InitialStreamWindowSize()),
		ConnectionWindow: count("http2_initial_connection_window_size", s.GetHttp2InitialConnectionWindowSize()),

		MergeSlashes: Choice{s.GetHttpMergeSlashes() != nil, s.GetHttpMergeSlashes().GetValue()},
	}
	if a := s.GetHttpHeadersWithUnderscoresAction(); a != 0 {
		out.Underscores = a.String()
	}
	if a := s.GetHttpPathWithEscapedSlashesAction(); a != 0 {
		out.EscapedSlashes = a.String()
	}
	if kind == RouterProxy && s.GetProfile() == meshconfig.ProxyConfig_ConnectionSettings_EDGE {
		out.atEdge()
	}
	return out
}

// atEdge fills in what the profile EDGE says (istio.mesh.v1alpha1.ProxyConfig.ConnectionSettings.Profile, and of
// the timeout of headers Istio's page "Edge profile").
func (c *Connections) atEdge() {
	for to, n := range map[*uint32]uint32{
		&c.ListenerBuffer: 32 << 10, &c.ClusterBuffer: 32 << 10,
		&c.MaxStreams: 100, &c.StreamWindow: 64 << 10, &c.ConnectionWindow: 1 << 20,
	} {
		if *to == 0 {
			*to = n
		}
	}
	for to, d := range map[*Timeout]time.Duration{
		&c.Idle: time.Hour, &c.Request: 5 * time.Minute, &c.StreamIdle: 5 * time.Minute, &c.RequestHeaders: time.Minute,
	} {
		if !to.Set {
			*to = Timeout{true, d}
		}
	}
	if c.Underscores == "" {
		c.Underscores = meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_REJECT_REQUEST.String()
	}
	if !c.MergeSlashes.Set {
		c.MergeSlashes = Choice{true, true}
	}
	if c.EscapedSlashes == "" {
		c.EscapedSlashes = meshconfig.ProxyConfig_ConnectionSettings_UNESCAPE_AND_REDIRECT.String()
	}
}

// connectionSettings is the message whose fields have bounds.
const connectionSettings = "istio.mesh.v1alpha1.ProxyConfig.ConnectionSettings."

func count(field protoreflect.FullName, v *wrapperspb.Int32Value) uint32 {
	if b := bounds[connectionSettings+field]; v == nil || int64(v.GetValue()) < b.Min || int64(v.GetValue()) > b.Max {
		return 0
	}
	return uint32(v.GetValue())
}

func timeout(field protoreflect.FullName, v *durationpb.Duration) Timeout {
	if v == nil {
		return Timeout{}
	}
	if d, ok := bounds[connectionSettings+field].Duration(v); ok {
		return Timeout{true, d}
	}
	return Timeout{}
}
