package model

import (
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// collector checks where a provider is that takes logs or spans.
func (c *faults) collector(p *meshconfig.MeshConfig_ExtensionProvider) {
	check := func(kind string, collector interface{ GetService() string }) {
		c.at = kind + "."
		c.service(collector.GetService())
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
}
