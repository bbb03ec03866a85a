package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	preservecase "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// setHeaders says what becomes of the headers that a connection manager makes itself.
func setHeaders(out *hcm.HttpConnectionManager, m *ir.HTTPConnectionManager) {
	if m.KeepServer {
		out.ServerName, out.ServerHeaderTransformation = "", hcm.HttpConnectionManager_PASS_THROUGH
	}
	if m.KeepRequestID {
		out.GenerateRequestId = wrapperspb.Bool(false)
	}
	out.AppendXForwardedPort = m.ForwardedPort
}

// headerCase gives the form of headers' names in HTTP/1; nil for Envoy's own, lower case.
func headerCase(keep bool) *core.Http1ProtocolOptions_HeaderKeyFormat {
	if !keep {
		return nil
	}
	return &core.Http1ProtocolOptions_HeaderKeyFormat{HeaderFormat: &core.Http1ProtocolOptions_HeaderKeyFormat_StatefulFormatter{
		StatefulFormatter: &core.TypedExtensionConfig{Name: "preserve_case", TypedConfig: Any(&preservecase.PreserveCaseFormatterConfig{})},
	}}
}
