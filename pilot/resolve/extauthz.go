package resolve

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	// customNoted is the prefix of what rules of CUSTOM policies note.
	customNoted = "istio_ext_authz_"
	// customTimeout is how long a provider is waited for that names no timeout.
	customTimeout = 10 * time.Minute
)

// customRule is what the names of the rules of a provider begin with.
func customRule(provider string) string { return "istio-ext-authz-" + provider + "-" }

// ask adds the CUSTOM policies of a class: rules that note what they match, and the filter that asks the
// provider about it. Where it cannot be asked, what the rules match is denied.
func (a *Authorization) ask(r Reader, c *Class, policies []*model.Object, domains []string) {
	policies = a.enforced(policies)
	if len(policies) == 0 {
		return
	}
	check, complaint := a.provider(r, c, policies)
	for _, tcp := range []bool{false, true} {
		rules := rbacOf(policies, security.AuthorizationPolicy_CUSTOM, ruleTranslator{domains: domains, tcp: tcp})
		if complaint == "" {
			rules.Shadow, rules.Rules = rules.Rules, nil
			rules.ShadowPrefix, rules.Provider = customNoted, providerName(policies[0])
		}
		switch {
		case !tcp && complaint == "":
			a.http = append(a.http, placedFilter{phaseCustomAuthz, rules}, placedFilter{phaseCustomAuthz, check})
		case !tcp:
			a.http = append(a.http, placedFilter{phaseCustomAuthz, rules})
		case complaint != "":
			a.tcp = append(a.tcp, rules)
		case check.GRPC: // a server of HTTP is not asked about connections, as in Istio
			a.tcp = append(a.tcp, rules, check)
		}
	}
}

// enforced leaves out the policies on trial: a provider is asked in earnest or not at all.
func (a *Authorization) enforced(policies []*model.Object) []*model.Object {
	var out []*model.Object
	for _, o := range policies {
		if !model.DryRun(o) {
			out = append(out, o)
			continue
		}
		a.problems = append(a.problems, o.WarningAt("metadata.annotations", model.ReasonNotTranslated,
			"there is no trial of a CUSTOM policy, also in Istio; the provider is not asked"))
	}
	return out
}

func providerName(o *model.Object) string {
	return o.Spec.(*security.AuthorizationPolicy).GetProvider().GetName()
}

// provider finds what is asked, else says why nobody can be, and reports that of each policy.
func (a *Authorization) provider(r Reader, c *Class, policies []*model.Object) (_ *ir.ExtAuthz, complaint string) {
	name, reason := providerName(policies[0]), model.ReasonReference
	for _, o := range policies[1:] {
		if other := providerName(o); other != name {
			complaint = fmt.Sprintf("its workload has policies of the providers %q and %q, and only one can be asked", name, other)
			reason = model.ReasonConflict
			break
		}
	}
	var check *ir.ExtAuthz
	if complaint == "" {
		check, complaint = newExtAuthz(r, c, name)
	}
	if complaint == "" {
		return check, ""
	}
	for _, o := range policies {
		a.problems = append(a.problems, o.ErrorAt("spec.provider.name", reason, complaint+"; until then what the rules match is denied"))
	}
	return nil, complaint
}

// newExtAuthz finds a provider of the mesh by its name.
func newExtAuthz(r Reader, c *Class, name string) (_ *ir.ExtAuthz, complaint string) {
	var found *meshconfig.MeshConfig_ExtensionProvider
	for _, p := range r.Mesh().GetExtensionProviders() {
		if p.GetName() == name {
			found = p // the last one counts, as in Istio
		}
	}
	if found == nil || name == "" {
		return nil, fmt.Sprintf("MeshConfig has no extension provider %q", name)
	}
	if faults := model.ProviderFaults(found); len(faults) > 0 {
		return nil, fmt.Sprintf("extension provider %q of MeshConfig is wrong: %s %s", name, faults[0].Field, faults[0].Reason)
	}
	out := &ir.ExtAuthz{NotedPrefix: customNoted, RulePrefix: customRule(name), Timeout: customTimeout}
	var service string
	var port uint32
	switch p := found.GetProvider().(type) {
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyExtAuthzHttp:
		service, port = p.EnvoyExtAuthzHttp.GetService(), p.EnvoyExtAuthzHttp.GetPort()
		askHTTP(p.EnvoyExtAuthzHttp, out)
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyExtAuthzGrpc:
		service, port = p.EnvoyExtAuthzGrpc.GetService(), p.EnvoyExtAuthzGrpc.GetPort()
		askGRPC(p.EnvoyExtAuthzGrpc, out)
	default:
		return nil, fmt.Sprintf("extension provider %q of MeshConfig is none of external authorization", name)
	}
	out.Host, complaint = providerHost(r, c, service, port, out.GRPC)
	if complaint != "" {
		return nil, fmt.Sprintf("extension provider %q of MeshConfig cannot be asked: %s", name, complaint)
	}
	out.Cluster = model.ClusterName("outbound", port, "", out.Host)
	return out, ""
}

// providerHost finds the service of a provider among those that the class has clusters of.
func providerHost(r Reader, c *Class, service string, port uint32, grpc bool) (host, complaint string) {
	namespace, host := model.ProviderService(service)
	svc := r.Service(c.Namespace, host)
	if svc == nil || namespace != "" && svc.Namespace != namespace {
		return "", fmt.Sprintf("namespace %s sees no service %s", c.Namespace, service)
	}
	if o, sidecar := sidecarOf(r, c); len(sidecar.GetEgress()) > 0 && !parseEgress(sidecar, c.Namespace).allowService(svc) {
		return "", fmt.Sprintf("Sidecar %s/%s does not let the workload see service %s; add it to its egress hosts", o.Namespace, o.Name, host)
	}
	at := slices.IndexFunc(svc.Ports, func(p model.ServicePort) bool { return p.Port == port })
	switch {
	case at < 0 || svc.Ports[at].Protocol == model.ProtocolUDP:
		return "", fmt.Sprintf("service %s has no port %d", host, port)
	case isWildcard(svc.Hostname):
		return "", fmt.Sprintf("service %s has no host of its own", host)
	}
	return svc.Hostname, ""
}

func askHTTP(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationHttpProvider, out *ir.ExtAuthz) {
	asked := p.GetIncludeRequestHeadersInCheck()
	if len(asked) == 0 {
		//lint:ignore SA1019 users still write it
		asked = p.GetIncludeHeadersInCheck()
	}
	out.HTTP = ir.CheckHTTP{
		PathPrefix: p.GetPathPrefix(), Asked: headerNames(asked), Upstream: headerNames(p.GetHeadersToUpstreamOnAllow()),
		Allowed: headerNames(p.GetHeadersToDownstreamOnAllow()), Denied: headerNames(p.GetHeadersToDownstreamOnDeny()),
	}
	added := p.GetIncludeAdditionalHeadersInCheck()
	for _, name := range slices.Sorted(maps.Keys(added)) {
		out.HTTP.Add = append(out.HTTP.Add, ir.Header{Name: name, Value: added[name]})
	}
	askAny(p, out)
	out.Body = checkedBody(p.GetIncludeRequestBodyInCheck())
}

func askGRPC(p *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationGrpcProvider, out *ir.ExtAuthz) {
	out.GRPC = true
	askAny(p, out)
	out.Body = checkedBody(p.GetIncludeRequestBodyInCheck())
}

// asked is what both kinds of providers say.
type asked interface {
	GetFailOpen() bool
	GetClearRouteCache() bool
	GetStatusOnError() string
	GetTimeout() *durationpb.Duration
}

func askAny(p asked, out *ir.ExtAuthz) {
	out.FailOpen, out.ClearRouteCache = p.GetFailOpen(), p.GetClearRouteCache()
	out.StatusOnError, _ = model.StatusOnError(p.GetStatusOnError()) // it has been checked
	if t := p.GetTimeout(); t != nil {
		out.Timeout = t.AsDuration()
	}
}

func checkedBody(b *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationRequestBody) *ir.CheckedBody {
	if b == nil {
		return nil
	}
	return &ir.CheckedBody{MaxBytes: b.GetMaxRequestBytes(), Partial: b.GetAllowPartialMessage(), Bytes: b.GetPackAsBytes()}
}

// headerNames reads patterns for names of headers, whose case means nothing.
func headerNames(patterns []string) []ir.StringMatch {
	var out []ir.StringMatch
	for _, p := range patterns {
		m := textMatch(p)
		m.IgnoreCase = m.Kind != ir.MatchRegex
		out = append(out, m)
	}
	return out
}
