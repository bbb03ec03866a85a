package validate

import (
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/patch"
)

func (c *checker) envoyFilter(f *networking.EnvoyFilter) {
	c.labels("spec.workloadSelector.labels", f.GetWorkloadSelector().GetLabels())
	if f.GetWorkloadSelector() != nil && len(f.GetTargetRefs()) > 0 {
		c.fail("spec.targetRefs", "cannot be together with workloadSelector; keep one of them")
	}
	for i, ref := range f.GetTargetRefs() {
		switch {
		case ref.GetKind() == "" || ref.GetName() == "":
			c.fail(at("spec.targetRefs", i), "needs kind and name; set both")
		case ref.GetNamespace() != "" && ref.GetNamespace() != c.object.Namespace:
			c.fail(at("spec.targetRefs", i)+".namespace", "is another one; put the EnvoyFilter into the namespace of what it refers to")
		case !model.GatewayAPIGateway(ref):
			c.add(at("spec.targetRefs", i), model.SeverityWarning, model.ReasonNotTranslated,
				"%s has no proxies of its own here; name a Gateway (gateway.networking.k8s.io) as pods of a gateway do by the label %s, or use workloadSelector", ref.GetKind(), model.GatewayNameLabel)
		}
	}
	if len(f.GetConfigPatches()) == 0 {
		c.warn("spec.configPatches", "is empty, so the object has no effect")
	}
	for i, item := range f.GetConfigPatches() {
		path := at("spec.configPatches", i)
		if item == nil {
			c.missing(path)
			continue
		}
		if v := item.GetMatch().GetProxy().GetProxyVersion(); v != "" {
			if _, err := regexp.Compile(v); err != nil || len(v) > maxVersionPattern {
				c.fail(path+".match.proxy.proxyVersion", "is no regular expression of at most %d bytes", maxVersionPattern)
			}
		}
		c.filterMatch(path, item)
	}
	_, problems := patch.Parse(c.object)
	c.problems = append(c.problems, problems...)
}

// maxVersionPattern bounds the pattern of a proxy's version, in bytes.
const maxVersionPattern = 1024

// connectionManager is the filter that has HTTP filters, by its name and the former one.
const (
	connectionManager       = "envoy.filters.network.http_connection_manager"
	formerConnectionManager = "envoy.http_connection_manager"
)

// filterMatch checks the match of a network filter, and that of an HTTP filter in it, which only patches of such have.
func (c *checker) filterMatch(path string, item *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	filter := item.GetMatch().GetListener().GetFilterChain().GetFilter()
	if filter == nil {
		return
	}
	path += ".match.listener.filterChain.filter"
	if to := item.GetApplyTo(); to == networking.EnvoyFilter_LISTENER || to == networking.EnvoyFilter_FILTER_CHAIN {
		c.warn(path, "has no effect on %s; remove it", to)
	}
	switch sub := filter.GetSubFilter(); {
	case sub != nil && item.GetApplyTo() != networking.EnvoyFilter_HTTP_FILTER:
		c.fail(path+".subFilter", "has no effect on %s; remove it, or apply the patch to HTTP_FILTER", item.GetApplyTo())
	case sub != nil && filter.GetName() != connectionManager && filter.GetName() != formerConnectionManager:
		c.fail(path+".name", "%q has no HTTP filters; write %s", filter.GetName(), connectionManager)
	case filter.GetName() == "":
		c.warn(path+".name", "is empty, so the match is of no filter")
	case sub != nil && sub.GetName() == "":
		c.fail(path+".subFilter.name", "is empty, so the match is of no filter; name one such as envoy.filters.http.router")
	}
	c.formerName(path+".name", filter.GetName())
	c.formerName(path+".subFilter.name", filter.GetSubFilter().GetName())
}

// formerName warns of names that Envoy's own filters had once.
func (c *checker) formerName(path, name string) {
	if strings.HasPrefix(name, "envoy.") && !strings.HasPrefix(name, "envoy.filters.") {
		c.warn(path, "%q is no name of the mesh's filters, which begin with envoy.filters.network or envoy.filters.http", name)
	}
}
