package translate

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// policyCase is one file of policies/ or pairs/: what a workload's policies make of calls.
type policyCase struct {
	Policies string
	Refused  string // an object that sources refuse, in whose place something denies
	// Caller is the identity whose sidecar makes, between two Envoys, the calls that do not say from whom they are.
	Caller string
	Calls  []policyCall
}

// policyCall is a call of a policyCase, with what is expected.
type policyCall struct {
	From    string // identity without spiffe://; "" for a client in the clear, or for the case's Caller between Envoys
	Clear   bool   // in the clear, whoever the case's Caller is
	Alone   string // why no sidecar can make it
	Address string // of the client, in 127.0.0.0/8
	Method  string // GET if empty
	Host    string
	Path    string
	SNI     string // that a client of its own asks for; sidecars ask for what names the service
	Headers map[string]string
	// Token has the claims of a token that is signed right. It stands where TOKEN is in the path or in headers,
	// else in the Authorization header.
	Token  map[string]any
	Unread bool // the token is where no rule for its issuer looks for it, or no key of the issuer is known
	Forged bool // the token is signed by another key
	// Audience tells that the token is for somebody else, which Envoy answers by 403.
	Audience bool
	Noted    bool   // it depends on what a filter of an EnvoyFilter notes, which the evaluator does not know
	TCP      bool   // a connection to the port of bytes
	Code     int    // 200, 401 or 403; of a connection 200 where it is served
	Policy   string // that denies, its rule; "none" where no ALLOW policy allows
	Says     string // what explain answers, "" where that is not looked at
	Body     string
	// Asks is the provider of external authorization that is asked. It refuses, or is away.
	Asks    string
	Refused bool
	// Trusted is how many proxies before the gateway that calls it trusts, and Client whom it takes for the client by
	// their word, if not Address.
	Trusted uint32
	Client  string
	// Sees and Gets are headers of the workload and of the client, "" for none.
	Sees, Gets map[string]string
	// Traps are what would come of the call in their place, by the names of traps that one has to fall into. TestTraps of
	// test/traffic reads them.
	Traps map[string]struct {
		Code   int
		Policy string
	}
}

// workloadYAML is the workload of all cases. KEYS in policies stands for the keys of tokens.
const workloadYAML = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.1.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: c}]}
status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
`

// policyPlace is a case that one Envoy of all cases serves at an address of its own.
type policyPlace struct {
	policyCase
	name      string
	address   string
	http, tcp *ir.FilterChain
	config    *explain.Config
}

// TestPoliciesDecide asks, for each call of each case, a real Envoy and the evaluator, which both have to
// agree with what is expected.
func TestPoliciesDecide(t *testing.T) {
	keys, pki := newTokenKeys(t), newPolicyPKI(t)
	files, err := filepath.Glob("policies/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	served := &served{t: t, requests: make(chan answer, 10000)}
	var places []*policyPlace
	for i, name := range files {
		places = append(places, readPolicyCase(t, b, served, pki, name, fmt.Sprintf("127.1.0.%d", i+1), keys.set))
	}
	startStatic(t, b)
	calls, explained := 0, 0
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			for i, c := range p.Calls {
				calls++
				if c.Token != nil || c.Forged {
					c.carry(keys.sign(t, c.Token, c.Forged))
				}
				got := p.call(t, pki, &c)
				if got.code != c.Code || c.Policy != "" && !strings.Contains(got.details, "["+c.Policy+"]") {
					t.Errorf("call %d %+v: Envoy says %d %s", i, c, got.code, got.details)
				}
				c.checkCustom(t, i, got)
				c.checkExplained(t, i, p.config.Explain(p.asked(&c)))
				if c.decidedByEnvoy() {
					continue
				}
				explained++
				c.compare(t, i, p.decide(&c))
			}
		})
	}
	if calls < 300 || explained < 150 {
		t.Errorf("only %d calls, of which the evaluator decides %d", calls, explained)
	}
	t.Logf("%d calls, of which the evaluator decides %d", calls, explained)
}

// decidedByEnvoy tells whether the evaluator knows nothing of what decides a call.
func (c *policyCall) decidedByEnvoy() bool {
	return c.Code == http.StatusUnauthorized || c.Audience || c.Noted
}

// compare holds what the evaluator says against what is expected.
func (c *policyCall) compare(t *testing.T, i int, d authz.Decision) {
	t.Helper()
	if (d.Allowed && !c.Refused) != (c.Code == 200) || d.Asks != c.Asks || c.Policy != "" && c.Policy != "none" && c.Policy != d.Rule {
		t.Errorf("call %d %+v: the evaluator says %+v", i, c, d)
	} else if c.Says != "" && d.String() != c.Says {
		t.Errorf("call %d %+v: explain says %q", i, c, d)
	}
}

// carry puts a token where the call has it.
func (c *policyCall) carry(token string) {
	placed := strings.Contains(c.Path, "TOKEN")
	c.Path = strings.ReplaceAll(c.Path, "TOKEN", token)
	for name, value := range c.Headers {
		placed = placed || strings.Contains(value, "TOKEN")
		c.Headers[name] = strings.ReplaceAll(value, "TOKEN", token)
	}
	if !placed {
		if c.Headers == nil {
			c.Headers = map[string]string{}
		}
		c.Headers["authorization"] = "Bearer " + token
	}
}

// parsePolicyCase reads a case.
func parsePolicyCase(t *testing.T, path string) (c policyCase) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

// snapshot gives the mesh of a case, beside other documents.
func (c *policyCase) snapshot(t *testing.T, documents, keys string) *store.Snapshot {
	t.Helper()
	objects, problems := file.Decode([]byte(documents+"\n---\n"+strings.ReplaceAll(c.Policies, "KEYS", "'"+keys+"'")), "case.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Refused != "" {
		_, refused, _ := file.NewReader().JSON([]byte(c.Refused))
		if len(refused) != 1 || refused[0].Denial == nil {
			t.Fatalf("nothing denies in the place of %s", c.Refused)
		}
		objects = append(objects, refused[0].Denial)
	}
	return Snapshot(objects)
}

// readPolicyCase translates a case and adds its listeners to an Envoy.
func readPolicyCase(t *testing.T, b *bootstrapv3.Bootstrap, s *served, pki *policyPKI, name, address, keys string) *policyPlace {
	t.Helper()
	p := &policyPlace{policyCase: parsePolicyCase(t, name), name: strings.TrimSuffix(filepath.Base(name), ".yaml"), address: address}
	snapshot := p.snapshot(t, providersYAML+workloadYAML, keys)
	proxy := Proxy{Name: "web-0", Namespace: "shop", IPs: []string{"10.0.0.1"}}
	class := resolve.Classify(snapshot.Reader(nil), proxy.Model())
	all, _ := resolve.Inbound(snapshot.Reader(nil), &class)
	inbound := all[0]
	for _, c := range inbound.Chains {
		switch {
		case c.Name == "0.0.0.0_8080" && p.http == nil:
			p.http = c
		case c.Name == "0.0.0.0_9000" && p.tcp == nil:
			p.tcp = c
		}
	}
	res := Build(snapshot, proxy.Model())
	p.config = explained(res, &tlsv3.Secret{Name: "ROOTCA", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
		TrustedCa: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: pki.root}},
	}}})
	p.config.Listeners = nil // in their place come those that the Envoy of all cases has
	found := map[string]bool{}
	for _, l := range inlined(t, res) {
		for _, c := range l.FilterChains {
			if l.Name != "virtualInbound" || found[c.Name] || c.Name != "0.0.0.0_8080" && c.Name != "0.0.0.0_9000" {
				continue
			}
			found[c.Name] = true
			own := policyListener(t, pki, c, p.name, address)
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, own)
			p.config.Listeners = append(p.config.Listeners, own)
		}
	}
	if len(b.StaticResources.Clusters) == 0 {
		addProviders(t, b, res.ByType["clusters"])
		for _, r := range res.ByType["clusters"] {
			switch cl := r.Body.(*clusterv3.Cluster); cl.Name {
			case "inbound|8080||":
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl, s.httpServer(cl.Name)))
			case "inbound|9000||":
				port := rawServer(t, func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1<<10))
					_, _ = io.WriteString(conn, "served")
				})
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl, port))
			}
		}
	}
	return p
}

// policyListener serves the filters of a chain to clients with certificates and in the clear. What denied
// a request is in a header of the answer.
func policyListener(t *testing.T, pki *policyPKI, chain *listenerv3.FilterChain, name, address string) *listenerv3.Listener {
	t.Helper()
	port := uint32(9000)
	if chain.Name == "0.0.0.0_8080" {
		port = 8080
	}
	for _, f := range chain.Filters {
		m := &hcm.HttpConnectionManager{}
		if f.GetTypedConfig().MessageIs(m) {
			if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
				t.Fatal(err)
			}
			m.LocalReplyConfig = &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{{
				Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslogv3.StatusCodeFilter{
					Comparison: &accesslogv3.ComparisonFilter{Op: accesslogv3.ComparisonFilter_GE, Value: &core.RuntimeUInt32{DefaultValue: 400, RuntimeKey: "none"}},
				}}},
				HeadersToAdd: []*core.HeaderValueOption{{
					Header: &core.HeaderValue{Key: "x-details", Value: "%RESPONSE_CODE_DETAILS%"},
				}},
			}}}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, m)}
		}
	}
	clear := proto.Clone(chain).(*listenerv3.FilterChain)
	clear.Name, clear.TransportSocket = "clear", nil
	clear.FilterChainMatch = &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer"}
	chain.Name, chain.FilterChainMatch = "tls", &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
	inline := func(s string) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: s}}
	}
	chain.TransportSocket = &core.TransportSocket{Name: "tls", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(t, &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificates:       []*tlsv3.TlsCertificate{{CertificateChain: inline(pki.serverCert), PrivateKey: inline(pki.serverKey)}},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(pki.root)}},
		},
	})}}
	return &listenerv3.Listener{
		Name:    fmt.Sprintf("%s-%d", name, port),
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: address, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}},
		ListenerFilters: []*listenerv3.ListenerFilter{{
			Name: "tls", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(t, &tlsinspector.TlsInspector{})},
		}},
		FilterChains: []*listenerv3.FilterChain{chain, clear},
	}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// policyAnswer is what becomes of a call.
type policyAnswer struct {
	code    int
	details string      // what Envoy says of it
	header  http.Header // the client gets
	seen    http.Header // the workload gets
}

// call makes a call.
func (p *policyPlace) call(t *testing.T, pki *policyPKI, c *policyCall) *policyAnswer {
	t.Helper()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if c.Address != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.Address)}
	}
	var config *tls.Config
	if c.From != "" {
		config = pki.client(t, c.From, c.SNI)
	}
	if c.TCP {
		conn, err := dialer.DialContext(t.Context(), "tcp", p.address+":9000")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if config != nil {
			conn = tls.Client(conn, config)
		}
		_, _ = io.WriteString(conn, "what is no TLS record")
		if text, _ := io.ReadAll(conn); string(text) == "served" {
			return &policyAnswer{code: 200}
		}
		return &policyAnswer{code: 403, details: "[" + c.Policy + "]"}
	}
	scheme := map[bool]string{true: "https", false: "http"}[config != nil]
	req, err := http.NewRequestWithContext(t.Context(), c.method(), scheme+"://"+p.address+":8080/", strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = c.host()
	c.ask(req.URL)
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var seen answer
	_ = json.NewDecoder(res.Body).Decode(&seen) // what is denied has no such body
	return &policyAnswer{res.StatusCode, res.Header.Get("x-details"), res.Header, seen.Header}
}

func (c *policyCall) method() string {
	if c.Method == "" {
		return http.MethodGet
	}
	return c.Method
}

func (c *policyCall) path() string {
	if c.Path == "" {
		return "/"
	}
	return c.Path
}

func (c *policyCall) host() string {
	if c.Host == "" {
		return "web.shop"
	}
	return c.Host
}

// ask puts the path into a URL as it is written.
func (c *policyCall) ask(u *url.URL) {
	if u.Opaque = c.path(); strings.HasPrefix(u.Opaque, "//") { // which would be a host
		u.Opaque, u.Path = "", u.Opaque
	}
}

// decide asks the evaluator.
func (p *policyPlace) decide(c *policyCall) authz.Decision {
	call := authz.Call{Local: netip.MustParseAddr(p.address), Port: 8080, Peer: netip.MustParseAddr("127.0.0.1")}
	if c.From != "" {
		call.Identity, call.ServerName = "spiffe://"+c.From, c.SNI
	}
	if c.Address != "" {
		call.Peer = netip.MustParseAddr(c.Address)
	}
	call.Client = call.Peer
	if c.TCP {
		call.Port = 9000
		return authz.Decide(authz.Filters(p.tcp), call)
	}
	call.Request = &authz.Request{
		Method: c.method(), Host: authz.NormalizeHost(c.host()), Path: authz.Normalize(c.path(), ir.PathNormalization{Normalize: true}), Headers: map[string]string{},
		Claims: authz.TokensOf(p.http).Noted(c.Token),
	}
	if c.Unread {
		call.Request.Claims = nil
	}
	for k, v := range c.Headers {
		call.Request.Headers[strings.ToLower(k)] = v
	}
	return authz.Decide(authz.Filters(p.http), call)
}
