package validate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
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
	if t := m.GetOutboundTrafficPolicy().GetTls(); t != nil {
		c.clientTLS("outboundTrafficPolicy.tls", t)
	}
	for i, alias := range m.GetTrustDomainAliases() {
		if !isHost(strings.TrimPrefix(alias, "*.")) && alias != "*" {
			c.fail(at("trustDomainAliases", i), "%q is no domain", alias)
		}
	}
	bundles := 0
	for i, ca := range m.GetCaCertificates() {
		if bundles += len(ca.GetPem()) * max(1, len(ca.GetTrustDomains())); bundles > maxBundles {
			c.fail(at("caCertificates", i), "with those before it is longer than %d bytes, a root counted once for each of its trust domains; proxies take no more", maxBundles)
		}
		if ca.GetPem() != "" && !isCertificates(ca.GetPem()) {
			c.fail(at("caCertificates", i)+".pem", "holds no certificates in PEM, or something else beside them")
		}
		for j, domain := range ca.GetTrustDomains() {
			if !isHost(domain) {
				c.fail(at(at("caCertificates", i)+".trustDomains", j), "%q is no domain", domain)
			}
		}
	}
	for path, t := range map[string]*meshconfig.MeshConfig_TLSConfig{"meshMTLS": m.GetMeshMTLS(), "tlsDefaults": m.GetTlsDefaults()} {
		c.ciphers(path, t.GetCipherSuites())
		c.offered(path+".ecdhCurves", "curve", model.Curves(), t.GetEcdhCurves())
	}
	for i, selector := range m.GetDiscoverySelectors() {
		if _, err := model.NamespaceSelector(selector); err != nil {
			c.fail(at("discoverySelectors", i), "is no selector of labels: %v", err)
		}
	}
	c.extensionProviders(m.GetExtensionProviders())
	c.zoneAware("zoneAwareLbSetting", m.GetZoneAwareLbSetting())
	c.proxyConfig("defaultConfig", m.GetDefaultConfig())
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

// proxyConfig checks what a proxy needs to start, and the addresses that it connects to.
func (c *checker) proxyConfig(path string, p *meshconfig.ProxyConfig) {
	for field, value := range map[string]string{
		"configPath": p.GetConfigPath(), "binaryPath": p.GetBinaryPath(), "discoveryAddress": p.GetDiscoveryAddress(),
	} {
		if value == "" {
			c.missing(path + "." + field)
		}
	}
	if name, ok := p.GetClusterName().(*meshconfig.ProxyConfig_ServiceCluster); ok && name.ServiceCluster == "" {
		c.missing(path + ".serviceCluster")
	}
	t := p.GetTracing()
	//lint:ignore SA1019 users still write them
	zipkin, metrics := p.GetZipkinAddress(), p.GetEnvoyMetricsServiceAddress()
	for field, address := range map[string]string{
		"discoveryAddress": p.GetDiscoveryAddress(), "statsdUdpAddress": p.GetStatsdUdpAddress(),
		"zipkinAddress": zipkin, "envoyMetricsServiceAddress": metrics,
		"envoyMetricsService.address": p.GetEnvoyMetricsService().GetAddress(), "envoyAccessLogService.address": p.GetEnvoyAccessLogService().GetAddress(),
		"tracing.zipkin.address": t.GetZipkin().GetAddress(), "tracing.lightstep.address": t.GetLightstep().GetAddress(),
		"tracing.datadog.address": t.GetDatadog().GetAddress(), "tracing.openCensusAgent.address": t.GetOpenCensusAgent().GetAddress(),
	} {
		if address != "" && !strings.Contains(address, "$(") && !isHostPort(address) { // $(VAR) is known to the proxy only
			c.fail(path+"."+field, "%q is no host:port", address)
		}
	}
}

// maxBundles bounds the roots of the mesh in bytes. Agents take a MiB with the CA's own.
const maxBundles = 900 << 10

// isCertificates tells whether a text is certificates in PEM and nothing else.
func isCertificates(text string) bool {
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
	}
	return strings.TrimSpace(text) != ""
}
