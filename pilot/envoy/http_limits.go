package envoy

import (
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

func setEscapedSlashes(out *hcm.HttpConnectionManager, action ir.EscapedSlashes) {
	switch action {
	case ir.SlashesUnescaped:
		out.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_UNESCAPE_AND_FORWARD
	case ir.SlashesRedirected:
		out.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_UNESCAPE_AND_REDIRECT
	case ir.SlashesRejected:
		out.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_REJECT_REQUEST
	default:
		out.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_KEEP_UNCHANGED
	}
}

func setUnderscores(out *hcm.HttpConnectionManager, action ir.Underscores) {
	switch action {
	case ir.UnderscoresDropped:
		common(out).HeadersWithUnderscoresAction = core.HttpProtocolOptions_DROP_HEADER
	case ir.UnderscoresRejected:
		common(out).HeadersWithUnderscoresAction = core.HttpProtocolOptions_REJECT_REQUEST
	}
}

func setLimits(out *hcm.HttpConnectionManager, l *ir.HTTPLimits) {
	out.DrainTimeout, out.RequestTimeout, out.RequestHeadersTimeout = optional(l.Drain), optional(l.Request), optional(l.Headers)
	if l.StreamIdle != nil {
		out.StreamIdleTimeout = optional(l.StreamIdle)
	}
	if l.Idle != nil || l.MaxConnection != nil || l.MaxStream != nil {
		c := common(out)
		c.IdleTimeout, c.MaxConnectionDuration, c.MaxStreamDuration = optional(l.Idle), optional(l.MaxConnection), optional(l.MaxStream)
	}
	if l.MaxStreams == 0 && l.StreamWindow == 0 && l.ConnectionWindow == 0 {
		return
	}
	if out.Http2ProtocolOptions == nil {
		out.Http2ProtocolOptions = &core.Http2ProtocolOptions{}
	}
	h := out.Http2ProtocolOptions
	h.MaxConcurrentStreams, h.InitialStreamWindowSize, h.InitialConnectionWindowSize = nonzero(l.MaxStreams), nonzero(l.StreamWindow), nonzero(l.ConnectionWindow)
}

// common gives the settings of all versions of HTTP.
func common(out *hcm.HttpConnectionManager) *core.HttpProtocolOptions {
	if out.CommonHttpProtocolOptions == nil {
		out.CommonHttpProtocolOptions = &core.HttpProtocolOptions{}
	}
	return out.CommonHttpProtocolOptions
}

func nonzero(n uint32) *wrapperspb.UInt32Value {
	if n == 0 {
		return nil
	}
	return wrapperspb.UInt32(n)
}

// optional gives nil for a duration that is left out.
func optional(d *time.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(*d)
}
