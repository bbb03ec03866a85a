package resolve

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// zipkinPath is where collectors take spans, unless a provider says otherwise.
const zipkinPath = "/api/v2/spans"

func isTraceProvider(p *meshconfig.MeshConfig_ExtensionProvider) bool {
	return p.GetOpentelemetry() != nil || p.GetZipkin() != nil || p.GetDatadog() != nil || p.GetSkywalking() != nil
}

// traceProvider gives the provider that the rules name, and the most of a path that its spans have. It is nil
// where it takes none; a problem says why, and what else is wrong.
func traceProvider(r Reader, rules traceRules, services func(host string) *model.Service) (ir.TraceProvider, uint32, []model.Problem) {
	mesh := r.Mesh()
	at := providerAt(mesh, rules.provider)
	name := strconv.Quote(rules.provider)
	if at < 0 {
		return nil, 0, []model.Problem{rules.namedBy.WarningAt(rules.namedAt, model.ReasonInvalid, name+" is none of the mesh's extensionProviders; there are no spans")}
	}
	p := mesh.GetExtensionProviders()[at]
	c := &collector{services: services, variable: r.Variable, field: fmt.Sprintf("extensionProviders[%d]", at)}
	c.check(p)
	var provider ir.TraceProvider
	var maxLength uint32
	switch {
	case p.GetOpentelemetry() != nil:
		provider, maxLength = c.openTelemetry(p.GetOpentelemetry()), p.GetOpentelemetry().GetMaxTagLength()
	case p.GetZipkin() != nil:
		provider, maxLength = c.zipkin(p.GetZipkin()), p.GetZipkin().GetMaxTagLength()
	case p.GetDatadog() != nil:
		provider, maxLength = c.datadog(p.GetDatadog()), p.GetDatadog().GetMaxTagLength()
	case p.GetSkywalking() != nil:
		provider = c.skyWalking(p.GetSkywalking())
	default:
		return nil, 0, []model.Problem{rules.namedBy.WarningAt(rules.namedAt, model.ReasonNotTranslated,
			name+" takes no spans here; opentelemetry, zipkin, datadog and skywalking do, until then there are none")}
	}
	if c.fault != "" {
		return nil, 0, []model.Problem{meshObject().ErrorAt(c.field, model.ReasonInvalid, c.fault+"; there are no spans")}
	}
	return provider, maxLength, c.leftOut
}

// enrichmentProblems reports the providers whose services are named otherwise than they ask for: a proxy has one set of
// attributes, which injection gives it, for all providers.
func enrichmentProblems(mesh *meshconfig.MeshConfig) []model.Problem {
	const conventions = meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS
	var others []model.Problem
	conventional := false
	for i, p := range mesh.GetExtensionProviders() {
		switch o := p.GetOpentelemetry(); {
		case o == nil:
		case o.GetServiceAttributeEnrichment() == conventions:
			conventional = true
		default:
			others = append(others, meshObject().WarningAt(fmt.Sprintf("extensionProviders[%d].opentelemetry.serviceAttributeEnrichment", i),
				model.ReasonNotTranslated, "another provider asks for "+conventions.String()+", by which the proxies' services are named for this one as well"))
		}
	}
	if !conventional {
		return nil
	}
	return others
}

// collector translates a provider; the first fault counts.
type collector struct {
	services     func(host string) *model.Service
	variable     func(name string) (value string, known bool) // of the control plane's environment
	field, fault string
	leftOut      []model.Problem // what the provider does without
}

// check takes the first of the faults for which validation has told that the provider is not used.
func (c *collector) check(p *meshconfig.MeshConfig_ExtensionProvider) {
	if faults := model.ProviderFaults(p); len(faults) > 0 {
		c.fail(faults[0].Field, faults[0].Reason)
	}
}

func (c *collector) fail(field, message string) {
	if c.fault == "" {
		c.field, c.fault = c.field+"."+field, message
	}
}

func (c *collector) openTelemetry(p *meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider) *ir.OpenTelemetry {
	out := &ir.OpenTelemetry{Dynatrace: p.GetResourceDetectors().GetDynatrace() != nil}
	out.Cluster, out.Authority = c.cluster("opentelemetry", p.GetService(), p.GetPort())
	out.Sampler = c.dynatraceSampler(p)
	if h := p.GetHttp(); h != nil {
		out.Path = c.path("opentelemetry.http.path", h.GetPath())
		out.Timeout = httpTimeout(h)
		out.Headers = c.headers("opentelemetry.http.headers", h.GetHeaders())
		return out
	}
	out.Timeout = p.GetGrpc().GetTimeout().AsDuration()
	out.Headers = c.metadata("opentelemetry.grpc.initialMetadata", p.GetGrpc().GetInitialMetadata())
	return out
}

// httpTimeout bounds a request to an HttpService, by default as Istio's API says.
func httpTimeout(h *meshconfig.MeshConfig_ExtensionProvider_HttpService) time.Duration {
	return cmp.Or(h.GetTimeout().AsDuration(), 3*time.Second)
}

func (c *collector) zipkin(p *meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider) *ir.Zipkin {
	out := &ir.Zipkin{
		Path: c.path("zipkin.path", cmp.Or(p.GetPath(), zipkinPath)), Short: p.GetEnable_64BitTraceId(),
		W3C:     p.GetTraceContextOption() == meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider_USE_B3_WITH_W3C_PROPAGATION,
		Timeout: p.GetTimeout().AsDuration(), Headers: c.headers("zipkin.headers", p.GetHeaders()),
	}
	out.Cluster, out.Authority = c.cluster("zipkin", p.GetService(), p.GetPort())
	return out
}

func (c *collector) datadog(p *meshconfig.MeshConfig_ExtensionProvider_DatadogTracingProvider) *ir.Datadog {
	out := &ir.Datadog{}
	out.Cluster, out.Authority = c.cluster("datadog", p.GetService(), p.GetPort())
	return out
}

func (c *collector) skyWalking(p *meshconfig.MeshConfig_ExtensionProvider_SkyWalkingTracingProvider) *ir.SkyWalking {
	out := &ir.SkyWalking{Token: p.GetAccessToken()}
	out.Cluster, out.Authority = c.cluster("skywalking", p.GetService(), p.GetPort())
	return out
}

// cluster gives the cluster of a service, written HOST or NAMESPACE/HOST. Envoy refuses a listener that
// names a cluster which the proxy has not got.
func (c *collector) cluster(field, service string, port uint32) (name, host string) {
	namespace, host, found := strings.Cut(service, "/")
	if !found {
		namespace, host = "", service
	}
	svc := c.services(host)
	switch {
	case svc == nil || namespace != "" && svc.Namespace != namespace:
		c.fail(field+".service", strconv.Quote(service)+" is no service that the proxy sees; write the host of one, such as a ServiceEntry's")
	case svc.PortByNumber(port) == nil:
		c.fail(field+".port", strconv.Quote(service)+" has no port "+strconv.FormatUint(uint64(port), 10))
	}
	return model.ClusterName("outbound", port, "", host), host
}

func (c *collector) path(field, path string) string {
	if u, err := url.ParseRequestURI(path); err != nil || !strings.HasPrefix(path, "/") || u.Host != "" {
		c.fail(field, strconv.Quote(path)+" is no path of a URL; it begins with a slash")
	}
	return path
}

// headers gives the headers of requests. Envoy takes % in them for a command of its own.
func (c *collector) headers(field string, in []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader) []ir.Header {
	out := c.values(field, in)
	for i := range out {
		out[i].Value = strings.ReplaceAll(out[i].Value, "%", "%%")
	}
	return out
}

// metadata gives the headers of calls of gRPC. In those Envoy neither sends a %% as one, nor takes a single one.
func (c *collector) metadata(field string, in []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader) []ir.Header {
	return slices.DeleteFunc(c.values(field, in), func(h ir.Header) bool {
		bad := strings.Contains(h.Value, "%")
		if bad {
			c.leave(field, "the value of "+strconv.Quote(h.Name)+" has a %, which Envoy cannot send by gRPC; send it by http, or encode it")
		}
		return bad
	})
}

// values gives headers with their values as they are to be sent.
func (c *collector) values(field string, in []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader) []ir.Header {
	var out []ir.Header
	for i, h := range in {
		at := fmt.Sprintf("%s[%d]", field, i)
		value, problem := c.headerValue(h)
		switch {
		case !headerName(h.GetName()) || isHost(h.GetName()):
			c.fail(at+".name", strconv.Quote(h.GetName())+" is no name of a header that can be set")
		case problem != "":
			c.leave(at+".envName", problem)
		case !singleLine(value):
			c.fail(at+".value", "has a line break or a zero byte")
		case value != "" || h.GetEnvName() == "":
			out = append(out, ir.Header{Name: h.GetName(), Value: value})
		}
	}
	return out
}

// headerValue gives the value that the mesh or the control plane's environment has, "" where that is not known, or
// why there is none. What a variable says is a secret, so no problem has it.
func (c *collector) headerValue(h *meshconfig.MeshConfig_ExtensionProvider_HttpHeader) (value, problem string) {
	name := h.GetEnvName()
	if name == "" {
		return h.GetValue(), ""
	}
	value, known := c.variable(name)
	switch {
	case known && value == "":
		return "", "the control plane's environment has no variable " + strconv.Quote(name) + ", or an empty one"
	case !singleLine(value):
		return "", "the variable " + strconv.Quote(name) + " of the control plane's environment has a line break or a zero byte"
	}
	return value, ""
}

// leave reports a header that is left out, once though two sorts of requests have it.
func (c *collector) leave(field, message string) {
	p := meshObject().ErrorAt(c.field+"."+field, model.ReasonInvalid, message+"; the header is left out")
	if !slices.Contains(c.leftOut, p) {
		c.leftOut = append(c.leftOut, p)
	}
}
