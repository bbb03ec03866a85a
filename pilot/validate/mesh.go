package validate

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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
	c.exportTo("defaultServiceExportTo", m.GetDefaultServiceExportTo(), c.warn) // as in Istio they refuse no mesh
	c.exportTo("defaultVirtualServiceExportTo", m.GetDefaultVirtualServiceExportTo(), c.warn)
	c.exportTo("defaultDestinationRuleExportTo", m.GetDefaultDestinationRuleExportTo(), c.warn)
	c.meshPorts(m)
	if t := m.GetOutboundTrafficPolicy().GetTls(); t != nil {
		c.clientTLS("outboundTrafficPolicy.tls", t)
	}
	for i, alias := range m.GetTrustDomainAliases() {
		if !isHost(strings.TrimPrefix(alias, "*.")) && alias != "*" {
			c.fail(at("trustDomainAliases", i), "%q is no domain", alias)
		}
	}
	c.caCertificates(m.GetCaCertificates())
	for path, t := range map[string]*meshconfig.MeshConfig_TLSConfig{"meshMTLS": m.GetMeshMTLS(), "tlsDefaults": m.GetTlsDefaults()} {
		c.ciphers(path, t.GetCipherSuites())
		c.offered(path+".ecdhCurves", "curve", model.Curves(), t.GetEcdhCurves())
	}
	for i, selector := range m.GetDiscoverySelectors() {
		if _, err := model.NamespaceSelector(selector); err != nil {
			c.warn(at("discoverySelectors", i), "is no selector of labels: %v; until it is right the former selectors count", err)
		}
	}
	c.visibility(m.GetServiceEntryVisibility())
	c.serviceSettings(m.GetServiceSettings())
	c.extensionProviders(m.GetExtensionProviders())
	c.zoneAware("zoneAwareLbSetting", m.GetZoneAwareLbSetting())
	c.proxyConfig("defaultConfig", m.GetDefaultConfig())
	if m.GetDefaultConfig().GetControlPlaneAuthPolicy() == meshconfig.AuthenticationPolicy_NONE {
		c.add("defaultConfig.controlPlaneAuthPolicy", model.SeverityWarning, model.ReasonNotTranslated, "NONE reaches no pod, in Istio neither; write it into the annotation proxy.istio.io/config of pods, or give discoveryAddress port 15010")
	}
	c.connectionPool("defaultTrafficPolicy.connectionPool", m.GetDefaultTrafficPolicy().GetConnectionPool())
	c.outlierDetection("defaultTrafficPolicy.outlierDetection", m.GetDefaultTrafficPolicy().GetOutlierDetection())
	c.retries("defaultHttpRetryPolicy", m.GetDefaultHttpRetryPolicy(), c.warn) // as in Istio it refuses no mesh
	c.locality("localityLbSetting", m.GetLocalityLbSetting())
}

// caCertificates checks more roots. One that is wrong keeps the others in effect, as in Istio.
func (c *checker) caCertificates(all []*meshconfig.MeshConfig_CertificateData) {
	for i, found := range model.RootFaults(all) {
		for _, f := range found {
			field := strings.TrimSuffix(at("caCertificates", i)+"."+f.Field, ".")
			c.warn(field, "%s; until it is right the entry has no roots", f.Reason)
		}
	}
}

// visibility checks how far ServiceEntries may be seen.
func (c *checker) visibility(v *meshconfig.ServiceEntryVisibility) {
	if v != nil && !v.GetApplyToSidecars() {
		c.warn("serviceEntryVisibility.applyToSidecars", "is not set, without which visibility counts in ambient mode only; set it to true")
	}
	for i, p := range v.GetPolicies() {
		if len(p.GetMatchingRules()) == 0 && i != len(v.GetPolicies())-1 {
			c.warn(at("serviceEntryVisibility.policies", i)+".matchingRules", "is empty, so that the policy matches every namespace, and those after it none; write rules, or put it last")
		}
		for j, rule := range p.GetMatchingRules() {
			item := at(at("serviceEntryVisibility.policies", i)+".matchingRules", j)
			if rule.GetNamespaceSelector() == nil {
				c.warn(item, "has no namespaceSelector, so that it matches nothing, and its policy neither")
			} else if _, err := model.NamespaceSelector(rule.GetNamespaceSelector()); err != nil {
				c.warn(item+".namespaceSelector", "is no selector of labels: %v; it matches nothing, and its policy neither", err)
			}
		}
	}
}

// meshPorts checks that what listens in every proxy's network namespace has ports of its own.
func (c *checker) meshPorts(m *meshconfig.MeshConfig) {
	ports := map[string]int32{
		"proxyListenPort": m.GetProxyListenPort(), "proxyInboundListenPort": m.GetProxyInboundListenPort(), "proxyHttpPort": m.GetProxyHttpPort(),
		"defaultConfig.proxyAdminPort": m.GetDefaultConfig().GetProxyAdminPort(), "defaultConfig.statusPort": m.GetDefaultConfig().GetStatusPort(),
	}
	taken := map[int32]string{
		model.HealthPort: "the proxy's health", model.PrometheusPort: "the proxy's statistics",
		15004: "the agent's debug pages", 15053: "the agent's DNS",
	}
	if n := m.GetProxyHttpPort(); n > 0 && taken[n] == "" && model.ReservedPort(uint32(n)) { // also where what has it was moved
		c.fail("proxyHttpPort", "%d is a port of the proxy or its agent; choose another", n)
	}
	for _, field := range sortedKeys(ports) {
		if owner := taken[ports[field]]; owner != "" {
			c.fail(field, "%d is the port of %s; choose another", ports[field], owner)
		}
		if ports[field] != 0 {
			taken[ports[field]] = fmt.Sprint("the field ", field)
		}
	}
}

// selfDiscovery is the variable by which Istio's proxies weigh zones by where their own replicas are.
const selfDiscovery = "ISTIO_META_ENABLE_SELF_DISCOVERY"

// httpProxyPort is the variable by which a proxy names the port at which it is an HTTP proxy.
const httpProxyPort = "ISTIO_META_HTTP_PROXY_PORT"

// ownHTTPProxyPort checks that variable. What it says concerns no other setting of the mesh, so it refuses none.
func (c *checker) ownHTTPProxyPort(path, value string) {
	switch n, err := strconv.ParseUint(value, 10, 16); {
	case value == "" || value == "0": // off
	case err != nil || n == 0:
		c.warn(path, "%q is no port, so that proxies have none; write a number from 1 to 65535", value)
	case model.ReservedPort(uint32(n)):
		c.warn(path, "%d is a port of the proxy or its agent; choose another", n)
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
	if p.GetProxyMetadata()[selfDiscovery] == "true" {
		c.add(path+".proxyMetadata."+selfDiscovery, model.SeverityWarning, model.ReasonNotTranslated, "proxies do not learn where their own replicas are; with zoneAwareLbSetting they keep to their region, in which all zones are used alike")
	}
	if port, ok := p.GetProxyMetadata()[httpProxyPort]; ok {
		c.ownHTTPProxyPort(path+".proxyMetadata."+httpProxyPort, port)
	}
	c.serverName(path+".proxyHeaders.server.value", p.GetProxyHeaders().GetServer().GetValue())
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
	c.remoteTLS(path+".tracing.tlsSettings", t.GetTlsSettings())
	c.remoteTLS(path+".envoyMetricsService.tlsSettings", p.GetEnvoyMetricsService().GetTlsSettings())
	c.remoteTLS(path+".envoyAccessLogService.tlsSettings", p.GetEnvoyAccessLogService().GetTlsSettings())
}

// serverName checks what the walk lets pass: letters that nobody sees, and that no header has.
func (c *checker) serverName(path, name string) {
	bad := func(r rune) bool { return (r == '\t' || r > '~') && !unicode.IsPrint(r) }
	if i := strings.IndexFunc(name, bad); i >= 0 && !model.IsServerName(name) {
		r, _ := utf8.DecodeRuneInString(name[i:])
		c.fail(path, "has the letter %q, which no header has; remove it", r)
	}
}

// serviceSettings checks the hosts of services that are local to their clusters, or not.
func (c *checker) serviceSettings(settings []*meshconfig.MeshConfig_ServiceSettings) {
	for i, s := range settings {
		item := at("serviceSettings", i)
		if len(s.GetHosts()) == 0 {
			c.warn(item+".hosts", "is empty, so that the settings are of no service; name hosts, or * for all")
		}
		for j, host := range s.GetHosts() {
			switch field := at(item+".hosts", j); {
			case !isWildcardHost(host):
				c.fail(field, "%q is no hostname; it may be a wildcard such as *.default.svc.cluster.local", host)
			case shortName(host):
				c.warn(field, "%q is a short name, which is no service's here; write the whole one", host)
			}
		}
	}
}
