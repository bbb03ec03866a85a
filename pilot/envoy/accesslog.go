package envoy

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	fileaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

func accessLogs(l *ir.AccessLog) []*accesslog.AccessLog {
	if l == nil {
		return nil
	}
	format := &core.SubstitutionFormatString{}
	if l.JSON != nil {
		format.Format = &core.SubstitutionFormatString_JsonFormat{JsonFormat: jsonFormat(l.JSON)}
	} else {
		format.Format = &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
			Specifier: &core.DataSource_InlineString{InlineString: l.Text},
		}}
	}
	out := &accesslog.AccessLog{
		Name: "envoy.access_loggers.file",
		ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: Any(&fileaccesslog.FileAccessLog{
			Path:            l.Path,
			AccessLogFormat: &fileaccesslog.FileAccessLog_LogFormat{LogFormat: format},
		})},
	}
	if l.OnlyNoRoute {
		out.Filter = &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{"NR"}},
		}}
	}
	return []*accesslog.AccessLog{out}
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
