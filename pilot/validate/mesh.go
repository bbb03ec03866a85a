package validate

import (
	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (c *checker) mesh(m *meshconfig.MeshConfig) {
	if !isHost(m.GetTrustDomain()) {
		c.fail("trustDomain", "%q is no domain", m.GetTrustDomain())
	}
	if len(validation.IsDNS1123Label(m.GetRootNamespace())) > 0 {
		c.fail("rootNamespace", "%q is no namespace name", m.GetRootNamespace())
	}
	c.exportTo("defaultServiceExportTo", m.GetDefaultServiceExportTo())
	c.exportTo("defaultVirtualServiceExportTo", m.GetDefaultVirtualServiceExportTo())
	c.exportTo("defaultDestinationRuleExportTo", m.GetDefaultDestinationRuleExportTo())
	c.retries("defaultHttpRetryPolicy", m.GetDefaultHttpRetryPolicy())
	c.locality("localityLbSetting", m.GetLocalityLbSetting())
}
