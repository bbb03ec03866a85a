package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	otlp "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

func requestsLog(l *ir.ServiceLog) *grpcaccesslog.HttpGrpcAccessLogConfig {
	return &grpcaccesslog.HttpGrpcAccessLogConfig{
		CommonConfig: commonLog(l), AdditionalRequestHeadersToLog: l.RequestHeaders,
		AdditionalResponseHeadersToLog: l.ResponseHeaders, AdditionalResponseTrailersToLog: l.ResponseTrailers,
	}
}

func connectionsLog(l *ir.ServiceLog) *grpcaccesslog.TcpGrpcAccessLogConfig {
	return &grpcaccesslog.TcpGrpcAccessLogConfig{CommonConfig: commonLog(l)}
}

func commonLog(l *ir.ServiceLog) *grpcaccesslog.CommonGrpcAccessLogConfig {
	return &grpcaccesslog.CommonGrpcAccessLogConfig{
		LogName: l.Name, TransportApiVersion: core.ApiVersion_V3, GrpcService: grpcService(l.Cluster, l.Authority),
		FilterStateObjectsToLog: l.FilterState,
	}
}

func openTelemetryLog(l *ir.OpenTelemetryLog) *otelaccesslog.OpenTelemetryAccessLogConfig {
	out := &otelaccesslog.OpenTelemetryAccessLogConfig{
		LogName: l.Name, GrpcService: grpcService(l.Cluster, l.Authority), Body: otlpText(l.Body),
	}
	if len(l.Attributes) > 0 {
		out.Attributes = otlpFields(l.Attributes)
	}
	return out
}

func otlpText(text string) *otlp.AnyValue {
	return &otlp.AnyValue{Value: &otlp.AnyValue_StringValue{StringValue: text}}
}

func otlpFields(fields []ir.JSONField) *otlp.KeyValueList {
	out := &otlp.KeyValueList{}
	for _, f := range fields {
		value := otlpText(f.Format)
		if f.Fields != nil {
			value = &otlp.AnyValue{Value: &otlp.AnyValue_KvlistValue{KvlistValue: otlpFields(f.Fields)}}
		}
		out.Values = append(out.Values, &otlp.KeyValue{Key: f.Name, Value: value})
	}
	return out
}

func grpcService(cluster, authority string) *core.GrpcService {
	return &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: cluster, Authority: authority},
	}}
}
