package validate

import (
	networking "istio.io/api/networking/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) proxyConfigObject(p *networking.ProxyConfig) {
	selector := p.GetSelector().GetMatchLabels()
	c.labels("spec.selector.matchLabels", selector)
	if len(selector) > 0 && c.object.Namespace == model.RootNamespace {
		c.warn("spec.selector", "selects pods of the root namespace only; put the object into the workload's namespace")
	}
	if p.GetConcurrency() != nil && p.GetConcurrency().GetValue() < 0 {
		c.fail("spec.concurrency", "%d is negative; use 0 for all processors, or a number of threads", p.GetConcurrency().GetValue())
	}
	for _, name := range sortedKeys(p.GetEnvironmentVariables()) {
		if name == "" {
			c.fail("spec.environmentVariables", "has an empty name")
		}
	}
}
