package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The names of logs that providers leave open, as Istio documents them.
const (
	requestsLogName      = "http_envoy_accesslog"
	connectionsLogName   = "tcp_envoy_accesslog"
	listenerLogName      = "listener_envoy_accesslog"
	openTelemetryLogName = "otel_envoy_accesslog"
)

// defaultLogFile is where files are written whose provider, or whose mesh, names none.
const defaultLogFile = "/dev/stdout"

// providerLogs are the loggers of one provider; nil for what it does not log.
type providerLogs struct {
	requests, connections, noRoute ir.AccessLogger
}

// providerLogsOf makes each of them, by the filter that it has.
func providerLogsOf(logger func(ir.LogFilter) ir.AccessLogger) providerLogs {
	return providerLogs{logger(ir.LogFilter{}), logger(ir.LogFilter{Entries: []ir.LogEntry{ir.EntryEnd}}), logger(ir.LogFilter{NoRoute: true})}
}

// each visits the filters of all loggers.
func (l providerLogs) each(visit func(*ir.LogFilter)) {
	for _, log := range []ir.AccessLogger{l.requests, l.connections, l.noRoute} {
		switch log := log.(type) {
		case *ir.FileLog:
			visit(&log.Filter)
		case *ir.ServiceLog:
			visit(&log.Filter)
		case *ir.OpenTelemetryLog:
			visit(&log.Filter)
		}
	}
}

// logProvider gives the name that a provider of access logs has in the mesh, and false for one that is none.
func logProvider(mesh *meshconfig.MeshConfig, name string) (string, bool) {
	at := providerAt(mesh, name)
	if at < 0 {
		return providerEnvoy, strings.EqualFold(name, providerEnvoy)
	}
	p := mesh.GetExtensionProviders()[at]
	return p.GetName(), p.GetEnvoyFileAccessLog() != nil || p.GetEnvoyHttpAls() != nil || p.GetEnvoyTcpAls() != nil || p.GetEnvoyOtelAls() != nil
}

// providerAt finds a provider of logs, spans or metrics by its name in any case, as in Istio; -1 for none. Of several
// the last one counts.
func providerAt(mesh *meshconfig.MeshConfig, name string) int {
	all := mesh.GetExtensionProviders()
	at := len(all) - 1
	for at >= 0 && !strings.EqualFold(all[at].GetName(), name) {
		at--
	}
	return at
}

// logProviderOf translates a provider of access logs. One that is at fault logs nothing, but where it is its
// format only.
func logProviderOf(mesh *meshconfig.MeshConfig, name string, services func(host string) *model.Service) (providerLogs, []model.Problem) {
	at := providerAt(mesh, name)
	if at < 0 {
		return meshFileLogs(mesh, defaultLogFile), nil // what is wrong with it meshProblems tells
	}
	p := mesh.GetExtensionProviders()[at]
	c := &collector{services: services, field: fmt.Sprintf("extensionProviders[%d]", at)}
	c.check(p)
	var out providerLogs
	var instead string
	switch {
	case c.fault != "":
	case p.GetEnvoyFileAccessLog() != nil:
		out, instead = c.fileLogs(mesh, p)
	case p.GetEnvoyHttpAls() != nil:
		out = c.requestLogs(p.GetEnvoyHttpAls())
	case p.GetEnvoyTcpAls() != nil:
		out = c.connectionLogs(p.GetEnvoyTcpAls())
	case p.GetEnvoyOtelAls() != nil:
		out, instead = c.openTelemetryLogs(p.GetEnvoyOtelAls())
	}
	if c.fault == "" {
		return out, nil
	}
	if instead == "" {
		out, instead = providerLogs{}, "; it logs nothing"
	}
	return out, []model.Problem{meshObject().ErrorAt(c.field, model.ReasonInvalid, c.fault+instead)}
}

// meshFileLogs writes the file that the mesh names, or else another one, in the mesh's format.
func meshFileLogs(mesh *meshconfig.MeshConfig, otherwise string) providerLogs {
	log, _, _ := meshLog(mesh)
	if log == nil {
		log = &ir.FileLog{Path: otherwise}
		setLogFormat(mesh, log)
	}
	return fileLogsOf(*log)
}

func fileLogsOf(log ir.FileLog) providerLogs {
	return providerLogsOf(func(filter ir.LogFilter) ir.AccessLogger {
		out := log
		out.Filter = filter
		return &out
	})
}

// fileLogs also says what is done instead where only the format is at fault. A provider of the name that every
// mesh has takes the mesh's format where it has none.
func (c *collector) fileLogs(mesh *meshconfig.MeshConfig, provider *meshconfig.MeshConfig_ExtensionProvider) (out providerLogs, instead string) {
	p := provider.GetEnvoyFileAccessLog()
	log := ir.FileLog{Path: cmp.Or(p.GetPath(), defaultLogFile), Text: defaultLogFormat, OmitEmpty: p.GetOmitEmptyValues()}
	if !model.AccessLogFile(log.Path) {
		c.fail("envoyFileAccessLog.path", strconv.Quote(log.Path)+" may be missing in a proxy, which would then refuse its listeners; "+
			"use /dev/stdout, or a file in /etc/istio/proxy or /var/lib/istio/data")
		return out, ""
	}
	switch f := p.GetLogFormat(); {
	case f == nil && strings.EqualFold(provider.GetName(), providerEnvoy):
		setLogFormat(mesh, &log)
	case f.GetLabels() != nil:
		log.JSON = defaultLogFields
		if len(f.GetLabels().GetFields()) > 0 {
			log.JSON = c.labels("envoyFileAccessLog.logFormat.labels", f.GetLabels().AsMap(), defaultLogFields)
		}
	case f.GetText() != "":
		log.Text = c.text("envoyFileAccessLog.logFormat.text", f.GetText())
		if !strings.HasSuffix(log.Text, "\n") {
			log.Text += "\n"
		}
	}
	return fileLogsOf(log), defaultFormatIsUsed
}

func (c *collector) requestLogs(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyHttpGrpcV3LogProvider) providerLogs {
	log := &ir.ServiceLog{
		Name: cmp.Or(p.GetLogName(), requestsLogName), FilterState: p.GetFilterStateObjectsToLog(),
		RequestHeaders:   c.logged("envoyHttpAls.additionalRequestHeadersToLog", p.GetAdditionalRequestHeadersToLog()),
		ResponseHeaders:  c.logged("envoyHttpAls.additionalResponseHeadersToLog", p.GetAdditionalResponseHeadersToLog()),
		ResponseTrailers: c.logged("envoyHttpAls.additionalResponseTrailersToLog", p.GetAdditionalResponseTrailersToLog()),
	}
	log.Cluster, log.Authority = c.cluster("envoyHttpAls", p.GetService(), p.GetPort())
	return providerLogs{requests: log}
}

func (c *collector) connectionLogs(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyTcpGrpcV3LogProvider) providerLogs {
	log := ir.ServiceLog{Connections: true, FilterState: p.GetFilterStateObjectsToLog()}
	log.Cluster, log.Authority = c.cluster("envoyTcpAls", p.GetService(), p.GetPort())
	out := providerLogsOf(func(filter ir.LogFilter) ir.AccessLogger {
		l := log
		l.Filter, l.Name = filter, cmp.Or(p.GetLogName(), connectionsLogName)
		if filter.NoRoute {
			l.Name = cmp.Or(p.GetLogName(), listenerLogName)
		}
		return &l
	})
	out.requests = nil
	return out
}

// serviceCluster is that of envoyAccessLogService in the bootstrap of each proxy that names one, as Istio calls it.
const serviceCluster = "envoy_accesslog_service"

// serviceLogs go to the service that a proxy's own configuration names (MeshConfig.enableEnvoyAccessLogService).
func serviceLogs() providerLogs {
	out := providerLogsOf(func(filter ir.LogFilter) ir.AccessLogger {
		name := connectionsLogName
		if filter.NoRoute {
			name = listenerLogName
		}
		return &ir.ServiceLog{Filter: filter, Name: name, Cluster: serviceCluster, Connections: true}
	})
	out.requests = &ir.ServiceLog{Name: requestsLogName, Cluster: serviceCluster}
	return out
}

func (c *collector) openTelemetryLogs(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyOpenTelemetryLogProvider) (out providerLogs, instead string) {
	log := ir.OpenTelemetryLog{
		Name: cmp.Or(p.GetLogName(), openTelemetryLogName),
		Body: strings.TrimSuffix(defaultLogFormat, "\n"), // an entry is no line
	}
	log.Cluster, log.Authority = c.cluster("envoyOtelAls", p.GetService(), p.GetPort())
	if c.fault != "" {
		return out, ""
	}
	if text := p.GetLogFormat().GetText(); text != "" {
		log.Body = c.text("envoyOtelAls.logFormat.text", text)
	}
	log.Attributes = c.labels("envoyOtelAls.logFormat.labels", p.GetLogFormat().GetLabels().AsMap(), nil)
	return providerLogsOf(func(filter ir.LogFilter) ir.AccessLogger {
		l := log
		l.Filter = filter
		return &l
	}), defaultFormatIsUsed
}

// text gives a format, or Istio's where Envoy would not take it.
func (c *collector) text(field, format string) string {
	if formatString(format) {
		return format
	}
	c.fail(field, "% starts a command of Envoy such as %RESPONSE_CODE%, and one of these is none")
	return strings.TrimSuffix(defaultLogFormat, "\n")
}

// labels gives formats by name, or others where Envoy would not take one of them.
func (c *collector) labels(field string, object map[string]any, otherwise []ir.JSONField) []ir.JSONField {
	fields, ok := logFields(object)
	if !ok {
		c.fail(field, "a value is neither text with commands of Envoy nor an object of such")
		return otherwise
	}
	return fields
}

// logged gives the names of headers that are logged.
func (c *collector) logged(field string, names []string) []string {
	for i, name := range names {
		if !headerName(name) && !slices.Contains(pseudoHeaders, name) && name != ":status" {
			c.fail(fmt.Sprintf("%s[%d]", field, i), strconv.Quote(name)+" is no name of a header")
		}
	}
	return names
}
