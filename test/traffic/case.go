package traffic

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// File is the section calls.yaml of a case.
type File struct {
	Alone   bool                       `json:"alone"`
	Proxies map[string]translate.Proxy `json:"proxies"`
	Greets  []int                      `json:"greets"`
	Refuses []int                      `json:"refuses"`
	QUIC    bool                       `json:"quic"` // the control plane has PILOT_ENABLE_QUIC_LISTENERS
	// DNS gives the addresses of names that proxies resolve; others have none.
	DNS   map[string][]string `json:"dns"`
	Calls []*Call             `json:"calls"`
	// Problems are parts of those that are reported; every error has to be named.
	Problems []string `json:"problems"`

	made *certificates // nil for none
}

// Call is one request or connection, and what is wanted of it.
type Call struct {
	Call     string            `json:"call"`
	From     string            `json:"from"`
	Way      explain.Way       `json:"way"`
	To       string            `json:"to"`
	Source   string            `json:"source"`
	Host     string            `json:"host"`
	SNI      string            `json:"sni"`
	ALPN     []string          `json:"alpn"`
	MTLS     bool              `json:"mtls"`
	Shows    string            `json:"shows"`
	TLSMin   string            `json:"tlsMin"`
	TLSMax   string            `json:"tlsMax"`
	Ciphers  []string          `json:"ciphers"`
	Headers  map[string]string `json:"headers"`
	Upstream string            `json:"upstream"`
	Token    map[string]any    `json:"token"`
	Forged   bool              `json:"forged"`
	Ejected  bool              `json:"ejected"`
	Absolute bool              `json:"absolute"`
	Want     Want              `json:"want"`
	// Traps are what would come of the call in their place, by the names of the traps that one has to fall into.
	Traps map[string]Want `json:"traps"`

	scheme  string
	request explain.Request
	own     tls.Certificate     // that the client shows
	dns     map[string][]string // of the case
}

// Want is what is expected of a call; nil is not looked at.
type Want struct {
	Status    *int               `json:"status"`
	Flags     *string            `json:"flags"`
	Closed    bool               `json:"closed"`
	Cluster   string             `json:"cluster"`
	Clusters  map[string]float64 `json:"clusters"`
	Endpoints []string           `json:"endpoints"`
	Servers   map[string]float64 `json:"servers"`
	TLS       *string            `json:"tls"`
	SNI       *string            `json:"sni"`
	Presented *string            `json:"presented"`
	Protocol  *string            `json:"protocol"`
	Path      *string            `json:"path"`
	Host      *string            `json:"host"`
	Request   map[string]string  `json:"request"`
	Response  map[string]string  `json:"response"`
	Location  *string            `json:"location"`
	Body      *string            `json:"body"`
	Timeout   *string            `json:"timeout"`
	Attempts  *int               `json:"attempts"`
	Mirrors   []string           `json:"mirrors"`
	Mirrored  *string            `json:"mirrored"`
	Delay     *string            `json:"delay"`
	Proxy     *string            `json:"proxy"`
	Tunnel    *string            `json:"tunnel"`
}

// Case is one case, with the resources of each proxy that calls.
type Case struct {
	File
	Name      string
	proxies   map[string]translate.Proxy
	resources map[string]translate.Resources
	problems  []model.Problem
	objects   []*model.Object
}

// Cases reads all cases of a directory.
func Cases(t testing.TB, dir string) ([]*Case, error) {
	world, err := os.ReadFile(filepath.Join(dir, "world.yaml"))
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var out []*Case
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			return nil, err
		}
		c, err := read(t, a, world)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.Name = strings.TrimSuffix(filepath.Base(path), ".txtar")
		out = append(out, c)
	}
	return out, nil
}

// read parses a case and translates it for each proxy that calls.
func read(t testing.TB, a *txtar.Archive, world []byte) (*Case, error) {
	out := &Case{proxies: map[string]translate.Proxy{}, resources: map[string]translate.Resources{}}
	input := ""
	for _, f := range a.Files {
		switch f.Name {
		case "input.yaml":
			input = string(f.Data)
		case "calls.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &out.File); err != nil {
				return nil, fmt.Errorf("calls.yaml: %w", err)
			}
		default:
			return nil, fmt.Errorf("a case has no section %s", f.Name)
		}
	}
	if !out.Alone {
		input = string(world) + "\n---\n" + input
	}
	keys, err := keySet()
	if err != nil {
		return nil, err
	}
	made := newCertificates(t)
	out.made = made
	input = made.fill(strings.ReplaceAll(input, "KEYS", "'"+keys+"'"))
	var objects []*model.Object
	objects, out.problems = file.Decode([]byte(input), "input.yaml")
	for _, o := range objects {
		found := validate.Object(o)
		out.problems = append(out.problems, found...)
		if !slices.ContainsFunc(found, func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
			out.objects = append(out.objects, o)
		}
	}
	maps.Copy(out.proxies, worldProxies())
	maps.Copy(out.proxies, out.Proxies)
	snapshot := translate.Snapshot(out.objects)
	for _, call := range out.Calls {
		call.dns = out.DNS
		if call.From == "" {
			call.From = "client"
		}
		if _, ok := out.proxies[call.From]; !ok {
			return nil, fmt.Errorf("call %s: there is no proxy %s", call.Call, call.From)
		}
		p := out.proxy(call.From)
		if _, done := out.resources[call.From]; !done {
			res := out.build(snapshot, p)
			out.resources[call.From] = res
			out.problems = append(out.problems, res.Problems...)
		}
		if err := out.prepare(call, p); err != nil {
			return nil, fmt.Errorf("call %s: %w", call.Call, err)
		}
		if err := call.handshake(made); err != nil {
			return nil, fmt.Errorf("call %s: %w", call.Call, err)
		}
	}
	return out, nil
}

// build translates for a proxy, by a control plane as the case has it.
func (c *Case) build(s *store.Snapshot, p translate.Proxy) translate.Resources {
	return translate.BuildBy(build.Options{Settings: resolve.Settings{QUIC: c.QUIC}}, s, p.Model())
}

// proxy gives a proxy with all that its entry leaves out.
func (c *Case) proxy(name string) translate.Proxy {
	p := c.proxies[name]
	p.Name = cmp.Or(p.Name, name)
	p.Namespace = cmp.Or(p.Namespace, "default")
	return p
}

// worldProxies are those of world.yaml.
func worldProxies() map[string]translate.Proxy {
	return map[string]translate.Proxy{
		"client":  {Name: "client", Namespace: "default", IPs: []string{"10.1.0.100"}, Labels: map[string]string{"app": "client"}},
		"other":   {Name: "other", Namespace: "other", IPs: []string{"10.2.0.100"}, Labels: map[string]string{"app": "other"}},
		"gateway": {Name: "gateway", Namespace: "istio-system", IPs: []string{"10.3.0.1"}, Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}},
	}
}

// meshIdentity is in the certificate of clients that show one of the mesh.
const meshIdentity = "spiffe://cluster.local/ns/default/sa/test"

// unknownAddress is what a host that nobody has defined resolves to (RFC 5737, TEST-NET-3).
const unknownAddress = "203.0.113.1"

// prepare makes the request of a call.
func (c *Case) prepare(call *Call, p translate.Proxy) error {
	method, rest, ok := strings.Cut(call.Call, " ")
	if !ok {
		method, rest = "GET", call.Call
	}
	u, err := url.Parse(rest)
	if err != nil {
		return err
	}
	call.scheme = u.Scheme
	if call.Way == "" {
		call.Way = explain.Outbound
		if p.Type == model.RouterProxy {
			call.Way = explain.Direct
		}
	}
	to, err := c.destination(call, u, p)
	if err != nil {
		return err
	}
	r := explain.Request{Way: call.Way, Destination: to, Method: method, Host: call.Host, Path: u.RequestURI(), Header: map[string][]string{}}
	if call.Source != "" {
		if r.Source, err = netip.ParseAddr(call.Source); err != nil {
			return err
		}
	}
	if r.Host == "" {
		r.Host = strings.TrimSuffix(strings.TrimSuffix(u.Host, ":80"), ":443")
	}
	if err := call.speak(&r, u.Hostname()); err != nil {
		return err
	}
	for name, value := range call.Headers {
		r.Header[name] = []string{value}
	}
	if call.Token != nil {
		text, err := token(call.Token, call.Forged)
		if err != nil {
			return err
		}
		r.Header["Authorization"], r.Claims = []string{"Bearer " + text}, call.Token
	}
	call.request = r
	return nil
}

// destination gives the address that the client connects to.
func (c *Case) destination(call *Call, u *url.URL, p translate.Proxy) (netip.AddrPort, error) {
	if call.To != "" {
		return netip.ParseAddrPort(call.To)
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[slices.Contains([]string{"https", "h2", "h3", "tls"}, u.Scheme)]
	}
	host := u.Hostname()
	switch {
	case call.Way == explain.Inbound || call.Way == explain.Direct:
		host = p.IPs[0]
	case net.ParseIP(host) == nil:
		host = c.resolve(host, p.Namespace)
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// resolve is the DNS of the cases: addresses of Services and ServiceEntries, by the names that a pod of a
// namespace may use.
func (c *Case) resolve(host, namespace string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, o := range c.objects {
		switch spec := o.Spec.(type) {
		case *corev1.Service:
			full := o.Name + "." + o.Namespace + ".svc.cluster.local"
			names := []string{full, o.Name + "." + o.Namespace, o.Name + "." + o.Namespace + ".svc"}
			if o.Namespace == namespace {
				names = append(names, o.Name)
			}
			if ip := spec.Spec.ClusterIP; slices.Contains(names, host) && ip != "" && ip != "None" {
				return ip
			}
		case *networking.ServiceEntry:
			if len(spec.GetAddresses()) > 0 && slices.Contains(spec.GetHosts(), host) {
				ip, _, _ := strings.Cut(spec.GetAddresses()[0], "/")
				return ip
			}
		}
	}
	return unknownAddress
}

// cluster gives the full name of a cluster that a case names in short.
func cluster(name string) string {
	i := strings.LastIndexByte(name, '|')
	if i < 0 || i == len(name)-1 || strings.Contains(name[i:], ".") {
		return name
	}
	return name + ".default.svc.cluster.local"
}
