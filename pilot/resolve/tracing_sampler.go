package resolve

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// samplingPath is where Dynatrace says how much is to be sampled, for a sampler that asks the service which takes
// the spans.
const samplingPath = "/api/v2/samplingConfiguration"

// dynatraceSampler gives the sampler of a provider, nil for none. As in Istio, it asks the service that takes the
// spans by HTTP, with the same headers, unless it has an API of its own.
func (c *collector) dynatraceSampler(p *meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider) *ir.DynatraceSampler {
	s := p.GetDynatraceSampler()
	if s == nil {
		return nil
	}
	out := &ir.DynatraceSampler{Tenant: s.GetTenant(), ClusterID: s.GetClusterId(), RootSpans: s.GetRootSpansPerMinute(), Path: samplingPath}
	const field = "opentelemetry.dynatraceSampler"
	if api := s.GetHttpService(); api != nil {
		out.Cluster, out.Authority = c.cluster(field+".httpService", api.GetService(), api.GetPort())
		out.Path = c.path(field+".httpService.http.path", api.GetHttp().GetPath())
		out.Timeout = httpTimeout(api.GetHttp())
		out.Headers = c.headers(field+".httpService.http.headers", api.GetHttp().GetHeaders())
		return out
	}
	if p.GetHttp() == nil {
		c.fail(field+".httpService", "is missing, and the provider has no http whose service could be asked; write one of them")
	}
	out.Cluster, out.Authority = c.cluster("opentelemetry", p.GetService(), p.GetPort())
	out.Timeout = httpTimeout(p.GetHttp())
	out.Headers = c.headers("opentelemetry.http.headers", p.GetHttp().GetHeaders())
	return out
}
