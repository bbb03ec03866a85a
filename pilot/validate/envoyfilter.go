package validate

import (
	"regexp"

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
		c.subFilter(path, item)
	}
	_, problems := patch.Parse(c.object)
	c.problems = append(c.problems, problems...)
}

// maxVersionPattern bounds the pattern of a proxy's version, in bytes.
const maxVersionPattern = 1024

// subFilter refuses a match of an HTTP filter where no HTTP filter is patched.
func (c *checker) subFilter(path string, item *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	filter := item.GetMatch().GetListener().GetFilterChain().GetFilter()
	if filter.GetSubFilter() != nil && item.GetApplyTo() != networking.EnvoyFilter_HTTP_FILTER {
		c.fail(path+".match.listener.filterChain.filter.subFilter", "has no effect on %s; remove it, or apply the patch to HTTP_FILTER", item.GetApplyTo())
	}
	if filter != nil && filter.GetName() == "" && filter.GetSubFilter() == nil {
		c.warn(path+".match.listener.filterChain.filter.name", "is empty, so the match is of no filter")
	}
}
