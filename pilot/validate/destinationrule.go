package validate

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) destinationRule(dr *networking.DestinationRule) {
	c.subsetFallback(dr)
	switch host := dr.GetHost(); {
	case host == "":
		c.fail("spec.host", "is missing; name the service that the rule is about")
	case !isHostPattern(host) && !isIP(host):
		c.fail("spec.host", "%q is no host; use a name, or a wildcard such as *.example.com", host)
	}
	c.exportTo("spec.exportTo", dr.GetExportTo(), c.fail)
	if s := dr.GetWorkloadSelector(); s != nil {
		c.labels("spec.workloadSelector.matchLabels", s.GetMatchLabels())
	}
	c.trafficPolicy("spec.trafficPolicy", dr.GetTrafficPolicy())
	var names []string
	for i, subset := range dr.GetSubsets() {
		path := at("spec.subsets", i)
		switch name := subset.GetName(); {
		case name == "":
			c.missing(path + ".name")
		case slices.Contains(names, name):
			c.fail(path+".name", "%q is the name of another subset too; rename one", name)
		default:
			c.subsetName(path+".name", name)
		}
		names = append(names, subset.GetName())
		c.labels(path+".labels", subset.GetLabels())
		c.trafficPolicy(path+".trafficPolicy", subset.GetTrafficPolicy())
	}
}

// policy is what a traffic policy and one of its port-level settings have in common.
type policy interface {
	GetLoadBalancer() *networking.LoadBalancerSettings
	GetConnectionPool() *networking.ConnectionPoolSettings
	GetOutlierDetection() *networking.OutlierDetection
	GetTls() *networking.ClientTLSSettings
}

func (c *checker) trafficPolicy(path string, p *networking.TrafficPolicy) {
	if p == nil {
		return
	}
	c.policy(path, p)
	seen := map[uint32]bool{}
	for i, settings := range p.GetPortLevelSettings() {
		item := at(path+".portLevelSettings", i)
		port := settings.GetPort().GetNumber()
		switch {
		case settings.GetPort() == nil:
			c.missing(item + ".port")
		case seen[port]:
			c.overridden(item+".port.number", "%d has settings already, which count; put them together", port)
		}
		seen[port] = true
		if settings != nil {
			c.policy(item, settings)
		}
	}
	if t := p.GetTunnel(); t != nil {
		if p.GetProxyProtocol() != nil {
			c.fail(path+".tunnel", "cannot be together with proxyProtocol; keep one of them")
		}
		if t.GetProtocol() != "" && t.GetProtocol() != "CONNECT" && t.GetProtocol() != "POST" {
			c.fail(path+".tunnel.protocol", "%q is neither CONNECT nor POST", t.GetProtocol())
		}
		if !isHost(t.GetTargetHost()) && !isIP(t.GetTargetHost()) {
			c.fail(path+".tunnel.targetHost", "%q is no host", t.GetTargetHost())
		}
	}
}

func (c *checker) policy(path string, p policy) {
	c.loadBalancer(path+".loadBalancer", p.GetLoadBalancer())
	c.connectionPool(path+".connectionPool", p.GetConnectionPool())
	c.outlierDetection(path+".outlierDetection", p.GetOutlierDetection())
	c.clientTLS(path+".tls", p.GetTls())
}

func (c *checker) connectionPool(path string, p *networking.ConnectionPoolSettings) {
	if p == nil {
		return
	}
	if p.GetTcp() == nil && p.GetHttp() == nil {
		c.fail(path, "sets nothing; set tcp or http, or remove it")
		return
	}
	http := p.GetHttp()
	if http.GetUseClientProtocol() && http.GetH2UpgradePolicy() == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE {
		c.fail(path+".http.useClientProtocol", "contradicts h2UpgradePolicy UPGRADE; keep one of them")
	}
	if k := http.GetHttp2KeepAlive(); k != nil && (k.GetInterval() == nil || k.GetTimeout() == nil) {
		c.fail(path+".http.http2KeepAlive", "needs interval and timeout; set both")
	}
}

func (c *checker) outlierDetection(path string, o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	//lint:ignore SA1019 users still write it
	if n := o.GetConsecutiveErrors(); n != 0 {
		c.warn(path+".consecutiveErrors", "is deprecated; use consecutive5xxErrors or consecutiveGatewayErrors")
	}
	if !o.GetSplitExternalLocalOriginErrors() && o.GetConsecutiveLocalOriginFailures().GetValue() > 0 {
		c.fail(path+".consecutiveLocalOriginFailures", "needs splitExternalLocalOriginErrors; set it to true")
	}
}

func (c *checker) loadBalancer(path string, lb *networking.LoadBalancerSettings) {
	if lb == nil {
		return
	}
	c.consistentHash(path+".consistentHash", lb.GetConsistentHash())
	c.locality(path+".localityLbSetting", lb.GetLocalityLbSetting())
	c.zoneAware(path+".zoneAwareLbSetting", lb.GetZoneAwareLbSetting())
	if lb.GetLocalityLbSetting() != nil && lb.GetZoneAwareLbSetting() != nil {
		c.fail(path+".zoneAwareLbSetting", "cannot be together with localityLbSetting; keep one of them")
	}
	if lb.GetWarmup() != nil && lb.GetWarmupDurationSecs() != nil {
		c.fail(path+".warmup", "is together with warmupDurationSecs, its former name; keep warmup")
	}
	if w := lb.GetWarmup(); w != nil {
		if w.GetDuration() == nil {
			c.missing(path + ".warmup.duration")
		}
		if a := w.GetAggression(); a != nil && !(a.GetValue() >= 1) {
			c.fail(path+".warmup.aggression", "%v is too small; use 1 or more", a.GetValue())
		}
	}
}

func (c *checker) consistentHash(path string, h *networking.LoadBalancerSettings_ConsistentHashLB) {
	if h == nil {
		return
	}
	switch key := h.GetHashKey().(type) {
	case nil:
		c.warn(path, "has nothing to hash, so requests go anywhere; set httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		if !isHeaderName(key.HttpHeaderName) && !isPseudoHeader(key.HttpHeaderName) {
			c.fail(path+".httpHeaderName", "%q is no name of a header", key.HttpHeaderName)
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		if !isHeaderName(key.HttpCookie.GetName()) {
			c.fail(path+".httpCookie.name", "%q is no name of a cookie", key.HttpCookie.GetName())
		}
		var names []string
		for i, a := range key.HttpCookie.GetAttributes() {
			switch item := at(path+".httpCookie.attributes", i); {
			case a.GetName() == "":
				c.missing(item + ".name")
			case slices.Contains(names, a.GetName()):
				c.fail(item+".name", "%q is there twice; remove one", a.GetName())
			}
			names = append(names, a.GetName())
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if !key.UseSourceIp {
			c.warn(path+".useSourceIp", "is false, so there is nothing to hash, and requests go anywhere; set it to true or hash something else")
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		if key.HttpQueryParameterName == "" {
			c.missing(path + ".httpQueryParameterName")
		}
	}
	if n := h.GetMaglev().GetTableSize(); n != 0 && n <= model.MaxTableSize && !prime(n) {
		c.fail(path+".maglev.tableSize", "%d is no prime number; Envoy's tables need one", n)
	}
}

func prime(n uint64) bool {
	if n < 2 {
		return false
	}
	for d := uint64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

func (c *checker) locality(path string, l *networking.LocalityLoadBalancerSetting) {
	switch {
	case len(l.GetDistribute()) > 0 && len(l.GetFailover()) > 0:
		c.fail(path, "has distribute together with failover; keep one of them")
	case len(l.GetDistribute()) > 0 && len(l.GetFailoverPriority()) > 0:
		c.warn(path+".failoverPriority", "does not count beside distribute; keep one of them")
	case len(l.GetFailover()) > 0:
		for i, label := range l.GetFailoverPriority() {
			if label == model.LabelRegion || label == model.LabelZone || label == model.LabelSubZone {
				c.fail(at(path+".failoverPriority", i), "%q is a place, of which failover says where to go; keep one of them", label)
			}
		}
	}
	c.distribute(path+".distribute", l.GetDistribute())
	for i, f := range l.GetFailover() {
		item := at(path+".failover", i)
		switch {
		case f.GetFrom() == "" || f.GetTo() == "":
			c.fail(item, "has no from or no to; set both")
		case f.GetFrom() == f.GetTo():
			c.fail(item, "leads from %q to itself", f.GetFrom())
		case strings.ContainsAny(f.GetFrom()+f.GetTo(), "/*"):
			c.fail(item, "names more than a region; failover is between regions only")
		}
	}
	for i, label := range l.GetFailoverPriority() {
		c.failoverLabel(at(path+".failoverPriority", i), label)
	}
}

// distribute checks shares of localities. None may stand behind one that covers it, where it would get nothing.
func (c *checker) distribute(path string, all []*networking.LocalityLoadBalancerSetting_Distribute) {
	for i, d := range all {
		item := at(path, i)
		if d.GetFrom() == "" {
			c.missing(item + ".from")
		}
		c.localityName(item+".from", d.GetFrom())
		for _, former := range all[:i] {
			if coversLocality(former.GetFrom(), d.GetFrom()) {
				c.fail(item+".from", "%q is distributed already, by %q; put the entries together, or this one before it", d.GetFrom(), former.GetFrom())
			}
		}
		sum := uint64(0)
		for _, to := range sortedKeys(d.GetTo()) {
			field := entry(item+".to", to)
			if d.GetTo()[to] == 0 {
				c.fail(field, "is 0, which is no share; use 1 to 100")
			}
			c.localityName(field, to)
			for _, other := range sortedKeys(d.GetTo()) {
				if other != to && coversLocality(other, to) {
					c.fail(field, "is within %q, which has a share of its own; name localities that have none in common", other)
				}
			}
			sum += uint64(d.GetTo()[to])
		}
		if sum != 100 {
			c.fail(item+".to", "adds up to %d; make it 100", sum)
		}
	}
}

// coversLocality tells whether a pattern region/zone/subzone stands for all that another one does.
func coversLocality(pattern, other string) bool {
	parts := strings.Split(other, "/")
	for i, part := range strings.Split(pattern, "/") {
		switch {
		case part == "*":
			return true
		case i >= len(parts) || part != parts[i]:
			return false
		}
	}
	return true
}

// failoverLabel tells of a text that is the name of no label, or gives it a value that no label has: nobody has it.
func (c *checker) failoverLabel(path, label string) {
	name, value, _ := strings.Cut(label, "=")
	switch {
	case name == "":
		c.fail(path, "%q is no label", label)
	case len(validation.IsQualifiedName(name)) > 0 || len(validation.IsValidLabelValue(value)) > 0:
		c.warn(path, "%q is no label, so no endpoint has it; write NAME or NAME=VALUE", label)
	}
}

func (c *checker) zoneAware(path string, z *networking.ZoneAwareLoadBalancerSetting) {
	for i, f := range z.GetFailover() {
		switch item := at(path+".failover", i); {
		case f.GetFrom() == "" || f.GetTo() == "":
			c.fail(item, "has no from or no to; set both")
		case f.GetFrom() == f.GetTo():
			c.fail(item, "leads from %q to itself", f.GetFrom())
		}
	}
	for i, label := range z.GetFailoverPriority() {
		name, _, _ := strings.Cut(label, "=")
		switch item := at(path+".failoverPriority", i); {
		case slices.Contains([]string{model.LabelRegion, model.LabelZone, model.LabelSubZone}, name):
			c.fail(item, "names where endpoints are, by which they are ordered anyway; remove it")
		default:
			c.failoverLabel(item, label)
		}
	}
	if n := z.GetMinClusterSize(); n != nil && n.GetValue() == 0 {
		c.fail(path+".minClusterSize", "is 0; set at least 1")
	}
}

// localityName checks region/zone/subzone, in which "*" may stand last.
func (c *checker) localityName(path, name string) {
	parts := strings.Split(name, "/")
	if len(parts) > 3 {
		c.fail(path, "%q has more than region/zone/subzone", name)
	}
	for i, part := range parts {
		if part == "" && name != "" || strings.Contains(part, "*") && (part != "*" || i != len(parts)-1) {
			c.fail(path, `%q is no locality; use region/zone/subzone, or "*" as the last part`, name)
			return
		}
	}
}

func (c *checker) clientTLS(path string, t *networking.ClientTLSSettings) {
	if t == nil {
		return
	}
	files := t.GetClientCertificate() != "" || t.GetPrivateKey() != "" || t.GetCaCertificates() != ""
	switch t.GetMode() {
	case networking.ClientTLSSettings_DISABLE:
		return
	case networking.ClientTLSSettings_MUTUAL:
		if t.GetCredentialName() == "" && (t.GetClientCertificate() == "" || t.GetPrivateKey() == "") {
			c.fail(path, "has mode MUTUAL but no key pair; set clientCertificate and privateKey, or credentialName")
		}
	case networking.ClientTLSSettings_SIMPLE:
		if t.GetClientCertificate() != "" || t.GetPrivateKey() != "" {
			c.warn(path+".clientCertificate", "is not presented in mode SIMPLE; use MUTUAL")
		}
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		if files || t.GetCredentialName() != "" || t.GetInsecureSkipVerify().GetValue() {
			c.warn(path, "has mode ISTIO_MUTUAL, which uses and checks the mesh's own certificates; remove the others or use MUTUAL")
		}
		return
	}
	if files && t.GetCredentialName() != "" {
		c.fail(path+".credentialName", "cannot be together with certificate files; keep one of them")
	}
	if t.GetCaCrl() != "" && (t.GetCredentialName() != "" || t.GetInsecureSkipVerify().GetValue()) {
		c.warn(path+".caCrl", "is not read beside credentialName, whose Secret has a list of its own, or insecureSkipVerify; leave it out")
	}
	if t.GetInsecureSkipVerify().GetValue() && (t.GetCaCertificates() != "" || len(t.GetSubjectAltNames()) > 0) {
		c.fail(path+".insecureSkipVerify", "turns off what caCertificates and subjectAltNames check; keep one of them")
	}
}
