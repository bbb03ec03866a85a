package model

import (
	"fmt"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// CheckCollector gives what is wrong with the address of a provider that takes logs or spans; nothing for providers
// of other kinds. Fields begin with the provider's kind. Whether a proxy sees the service, and what else may be
// wrong, is told where a provider is used.
func CheckCollector(p *meshconfig.MeshConfig_ExtensionProvider) []Fault {
	c := &faults{}
	check := func(kind string, collector interface {
		GetService() string
		GetPort() uint32
	},
	) {
		c.at = kind + "."
		c.address(collector.GetService(), collector.GetPort())
	}
	switch p := p.GetProvider().(type) {
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyHttpAls:
		check("envoyHttpAls", p.EnvoyHttpAls)
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyTcpAls:
		check("envoyTcpAls", p.EnvoyTcpAls)
	case *meshconfig.MeshConfig_ExtensionProvider_EnvoyOtelAls:
		check("envoyOtelAls", p.EnvoyOtelAls)
	case *meshconfig.MeshConfig_ExtensionProvider_Opentelemetry:
		check("opentelemetry", p.Opentelemetry)
	case *meshconfig.MeshConfig_ExtensionProvider_Zipkin:
		check("zipkin", p.Zipkin)
	case *meshconfig.MeshConfig_ExtensionProvider_Datadog:
		check("datadog", p.Datadog)
	case *meshconfig.MeshConfig_ExtensionProvider_Skywalking:
		check("skywalking", p.Skywalking)
	}
	return c.all
}

// address checks the service and the port of a provider.
func (c *faults) address(service string, port uint32) {
	if _, host := ProviderService(service); host == "" || strings.ContainsAny(host, "/*") {
		c.fail("service", fmt.Sprintf("%q is no service; write HOST or NAMESPACE/HOST", service))
	}
	if port == 0 || port > 65535 {
		c.fail("port", fmt.Sprintf("%d is not between 1 and 65535", port))
	}
}
