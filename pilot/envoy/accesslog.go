package envoy

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	datalog "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	fileaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpcaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	statsaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	metadata "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracing "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// hasMessages holds for calls whose messages the filter of gRPC statistics has counted. It is asked of gRPC's requests
// only, by their content type, since an expression costs each request as much as three histograms' labels.
const hasMessages = `"` + httpfilter.GRPCStats + `" in filter_state`

func accessLogs(loggers []ir.AccessLogger, elements Elements) []*accesslog.AccessLog {
	var out []*accesslog.AccessLog
	for _, l := range loggers {
		out = append(out, elements.AccessLog(l))
	}
	return out
}

// AccessLog gives the message for an access logger.
func AccessLog(l ir.AccessLogger) *accesslog.AccessLog {
	switch l := l.(type) {
	case *ir.FileLog:
		return accessLog("envoy.access_loggers.file", l.Filter, fileLog(l))
	case *ir.ServiceLog:
		if l.Connections {
			return accessLog("envoy.access_loggers.tcp_grpc", l.Filter, connectionsLog(l))
		}
		return accessLog("envoy.access_loggers.http_grpc", l.Filter, requestsLog(l))
	case *ir.OpenTelemetryLog:
		return accessLog("envoy.access_loggers.open_telemetry", l.Filter, openTelemetryLog(l))
	case *ir.StatsLog:
		// Listeners say this by the hundred, and Envoy finds a logger by the type of its message.
		return accessLog("stats", l.Filter, statsLog(l))
	case *ir.BytesLog:
		return accessLog(l.Name, l.Filter, bytesLog(l))
	case *ir.TapLog:
		return tapLog(l)
	}
	panic(unknownFilter(l))
}

func accessLog(name string, filter ir.LogFilter, config proto.Message) *accesslog.AccessLog {
	return &accesslog.AccessLog{
		Name: name, Filter: logFilter(filter), ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: Any(config)},
	}
}

// tapLog says what is not Envoy's default only, as all listeners have it.
func tapLog(l *ir.TapLog) *accesslog.AccessLog {
	config := &grpcaccesslog.HttpGrpcAccessLogConfig{CommonConfig: &grpcaccesslog.CommonGrpcAccessLogConfig{
		LogName: l.Name, TransportApiVersion: core.ApiVersion_V3,
		GrpcService: &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: l.Cluster}}},
		CustomTags: []*tracing.CustomTag{{Tag: l.RouteTag, Type: &tracing.CustomTag_Metadata_{Metadata: &tracing.CustomTag_Metadata{
			Kind: &metadata.MetadataKind{Kind: &metadata.MetadataKind_Route_{Route: &metadata.MetadataKind_Route{}}},
			MetadataKey: &metadata.MetadataKey{Key: "istio", Path: []*metadata.MetadataKey_PathSegment{
				{Segment: &metadata.MetadataKey_PathSegment_Key{Key: "config"}},
			}},
		}}}, {Tag: l.NameTag, Type: &tracing.CustomTag_Literal_{Literal: &tracing.CustomTag_Literal{Value: l.Name}}}},
	}}
	return &accesslog.AccessLog{
		Name: "tap", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: Any(config)},
		Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_StatusCodeFilter{
			StatusCodeFilter: &accesslog.StatusCodeFilter{Comparison: &accesslog.ComparisonFilter{
				Op: accesslog.ComparisonFilter_GE, Value: &core.RuntimeUInt32{DefaultValue: l.Otherwise, RuntimeKey: l.Runtime},
			}},
		}},
	}
}

func logFilter(f ir.LogFilter) *accesslog.AccessLogFilter {
	var all []*accesslog.AccessLogFilter
	if f.NoRoute {
		all = append(all, &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{"NR"}},
		}})
	}
	if len(f.Entries) > 0 {
		all = append(all, entryFilter(f.Entries))
	}
	if f.GRPC {
		all = append(all, contentTypeFilter("application/grpc"), celFilter(hasMessages))
	}
	if f.Expression != "" {
		all = append(all, celFilter(f.Expression))
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_AndFilter{AndFilter: &accesslog.AndFilter{Filters: all}}}
}

// entryTypes are Envoy's names of the entries of a connection.
var entryTypes = map[ir.LogEntry]datalog.AccessLogType{
	ir.EntryConnected: datalog.AccessLogType_TcpUpstreamConnected,
	ir.EntryPeriodic:  datalog.AccessLogType_TcpPeriodic,
	ir.EntryEnd:       datalog.AccessLogType_TcpConnectionEnd,
}

func entryFilter(entries []ir.LogEntry) *accesslog.AccessLogFilter {
	types := &accesslog.LogTypeFilter{}
	for _, e := range entries {
		types.Types = append(types.Types, entryTypes[e])
	}
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_LogTypeFilter{LogTypeFilter: types}}
}

// contentTypeFilter is for requests whose content type begins with a text.
func contentTypeFilter(prefix string) *accesslog.AccessLogFilter {
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_HeaderFilter{HeaderFilter: &accesslog.HeaderFilter{
		Header: &routev3.HeaderMatcher{Name: "content-type", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}},
		}},
	}}}
}

func celFilter(expression string) *accesslog.AccessLogFilter {
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslog.ExtensionFilter{
			Name: "cel",
			ConfigType: &accesslog.ExtensionFilter_TypedConfig{TypedConfig: Any(&celfilter.ExpressionFilter{
				Expression: expression,
			})},
		},
	}}
}

func fileLog(l *ir.FileLog) *fileaccesslog.FileAccessLog {
	format := &core.SubstitutionFormatString{OmitEmptyValues: l.OmitEmpty}
	if l.JSON != nil {
		format.Format = &core.SubstitutionFormatString_JsonFormat{JsonFormat: jsonFormat(l.JSON)}
	} else {
		format.Format = &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
			Specifier: &core.DataSource_InlineString{InlineString: l.Text},
		}}
	}
	return &fileaccesslog.FileAccessLog{
		Path:            l.Path,
		AccessLogFormat: &fileaccesslog.FileAccessLog_LogFormat{LogFormat: format},
	}
}

func jsonFormat(fields []ir.JSONField) *structpb.Struct {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, f := range fields {
		if f.Fields != nil {
			out.Fields[f.Name] = structpb.NewStructValue(jsonFormat(f.Fields))
		} else {
			out.Fields[f.Name] = structpb.NewStringValue(f.Format)
		}
	}
	return out
}

func bytesLog(l *ir.BytesLog) *grpcaccesslog.TcpGrpcAccessLogConfig {
	out := &grpcaccesslog.CommonGrpcAccessLogConfig{
		LogName: l.Name, TransportApiVersion: core.ApiVersion_V3, GrpcService: grpcService(l.Cluster, ""),
	}
	for _, tag := range l.Tags {
		out.CustomTags = append(out.CustomTags, &tracing.CustomTag{Tag: tag.Name, Type: &tracing.CustomTag_Value{Value: tag.Format}})
	}
	return &grpcaccesslog.TcpGrpcAccessLogConfig{CommonConfig: out}
}

func statsLog(l *ir.StatsLog) *statsaccesslog.Config {
	out := &statsaccesslog.Config{StatsScope: &typev3.Scope{
		SharingName: l.Scope.Name, Prefix: l.Scope.Prefix, EnableEviction: true,
		MaxCounters: wrapperspb.UInt32(l.Scope.Counters), MaxHistograms: wrapperspb.UInt32(l.Scope.Histogram),
	}}
	for _, s := range l.Stats {
		stat := &statsaccesslog.Config_Stat{Name: s.Name}
		for _, label := range s.Labels {
			stat.Tags = append(stat.Tags, &statsaccesslog.Config_Tag{Name: label.Name, ValueFormat: label.Format})
		}
		switch s.Kind {
		case ir.StatCounter:
			counter := &statsaccesslog.Config_Counter{Stat: stat, ValueFormat: s.Value}
			if s.Value == "" {
				counter.ValueFixed = wrapperspb.UInt64(1)
			}
			out.Counters = append(out.Counters, counter)
		case ir.StatMilliseconds:
			out.Histograms = append(out.Histograms, &statsaccesslog.Config_Histogram{
				Stat: stat, ValueFormat: s.Value, Unit: statsaccesslog.Config_Histogram_Milliseconds,
			})
		case ir.StatBytes:
			out.Histograms = append(out.Histograms, &statsaccesslog.Config_Histogram{
				Stat: stat, ValueFormat: s.Value, Unit: statsaccesslog.Config_Histogram_Bytes,
			})
		}
	}
	return out
}
