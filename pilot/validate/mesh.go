package validate

import (
	"fmt"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
	c.meshPorts(m)
	for i, alias := range m.GetTrustDomainAliases() {
		if !isHost(strings.TrimPrefix(alias, "*.")) && alias != "*" {
			c.fail(at("trustDomainAliases", i), "%q is no domain", alias)
		}
	}
	if m.GetLocalityLbSetting() != nil && m.GetZoneAwareLbSetting() != nil && m.GetLocalityLbSetting().GetEnabled() != nil {
		c.warn("zoneAwareLbSetting", "is together with localityLbSetting, which decides")
	}
	c.connectionPool("defaultTrafficPolicy.connectionPool", m.GetDefaultTrafficPolicy().GetConnectionPool())
	c.outlierDetection("defaultTrafficPolicy.outlierDetection", m.GetDefaultTrafficPolicy().GetOutlierDetection())
	c.retries("defaultHttpRetryPolicy", m.GetDefaultHttpRetryPolicy())
	c.locality("localityLbSetting", m.GetLocalityLbSetting())
}

// meshPorts checks that what listens in every proxy's network namespace has ports of its own.
func (c *checker) meshPorts(m *meshconfig.MeshConfig) {
	ports := map[string]int32{
		"proxyListenPort": m.GetProxyListenPort(), "proxyInboundListenPort": m.GetProxyInboundListenPort(),
		"defaultConfig.proxyAdminPort": m.GetDefaultConfig().GetProxyAdminPort(), "defaultConfig.statusPort": m.GetDefaultConfig().GetStatusPort(),
	}
	taken := map[int32]string{model.HealthPort: "the proxy's health", model.PrometheusPort: "the proxy's statistics"}
	for _, field := range sortedKeys(ports) {
		if owner := taken[ports[field]]; owner != "" {
			c.fail(field, "%d is the port of %s; choose another", ports[field], owner)
		}
		if ports[field] != 0 {
			taken[ports[field]] = fmt.Sprint("the field ", field)
		}
	}
}
