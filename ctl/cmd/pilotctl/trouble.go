package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// trouble is the errors of the files of which something was asked. Those are told that touch the answer.
type trouble struct {
	found []analyze.Finding
	about map[model.Key]manifest
	names []string // of the files

	translation *analyze.Translation
	proxy       analyze.Proxy
}

// newTrouble keeps the errors, and what objects are about: those with errors, and those that name others.
func newTrouble(files []analyze.File, found []analyze.Finding, names []string) trouble {
	out := trouble{names: names}
	for _, f := range found {
		if f.Level == analyze.Error {
			out.found = append(out.found, f)
		}
	}
	if len(out.found) == 0 {
		return out
	}
	out.about = manifestsOf(files, func(f analyze.File) bool {
		return slices.ContainsFunc(out.found, func(e analyze.Finding) bool { return e.Origin.File == f.Name }) ||
			bytes.Contains(f.Data, []byte("delegate")) || bytes.Contains(f.Data, []byte("credentialName")) || bytes.Contains(f.Data, []byte("secretName"))
	})
	return out
}

// of notes which proxy of which mesh was asked.
func (t *trouble) of(all *analyze.Translation, p analyze.Proxy) { t.translation, t.proxy = all, p }

// tell prints the errors that touch what was asked, and how many others there are.
func (t *trouble) tell(w io.Writer, p wayTaken) error {
	mine := slices.DeleteFunc(slices.Clone(t.found), func(f analyze.Finding) bool { return !t.touches(f, p) })
	if err := tellErrors(w, mine); err != nil {
		return err
	}
	others := len(t.found) - len(mine)
	if others == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%d of the files' errors do not touch this; all are told by: pilotctl analyze %s\n", others, strings.Join(t.names, " "))
	return err
}

// tellUnresolved prints which gateways between networks are left out of what files come to.
func tellUnresolved(w io.Writer, names []string) error {
	for _, name := range names {
		if _, err := fmt.Fprintf(w, "the gateway %s between networks is not looked up here, so nothing goes by it; a control plane asks the DNS\n", terminal.Text(name)); err != nil {
			return err
		}
	}
	return nil
}

// wayTaken is what an answer goes by.
type wayTaken struct {
	objects map[model.Key]bool
	hosts   []string
	path    string   // "" where it is not known, or there is none
	ports   []uint32 // that a gateway is asked on; none for any
	// proxies are all that were asked; servers are those of them whose policies and Services count.
	proxies, servers []analyze.Proxy
	root             string // the namespace whose objects are for all others
	policies         bool   // were asked alone, which decide before routes
}

// way collects the objects, the hosts and the proxies that a request has to do with.
func (t *trouble) way(asked string, r *explain.Request, a *explain.Answer) wayTaken {
	out := wayTaken{objects: map[model.Key]bool{}, hosts: []string{model.CanonicalHost(asked)}, proxies: []analyze.Proxy{t.proxy}}
	if t.translation == nil { // a mesh was asked, not files
		return out
	}
	out.root = t.translation.RootNamespace()
	out.path, _, _ = strings.Cut(r.Path, "?")
	if r.Way == explain.Direct && r.Socket == "" {
		out.ports = portsAsked(t.proxy, uint32(r.Destination.Port()), uint32(r.Port))
	}
	if r.Way != explain.Outbound {
		out.servers = append(out.servers, t.proxy)
	}
	if host, _, _ := strings.Cut(r.Host, ":"); host != "" {
		out.hosts = append(out.hosts, model.CanonicalHost(host))
	}
	if r.Named != nil {
		out.hosts = append(out.hosts, r.Named.Name)
	}
	for _, s := range a.Steps {
		if key, ok := resource.SourceKey(s.Object); ok {
			out.objects[key] = true
		}
	}
	if a.Outcome.Forward != nil {
		t.follow(&out, a.Outcome.Forward)
	}
	return out
}

// portsAsked adds, to the ports on which a gateway was asked, those of its Services that lead there: servers of a
// Gateway name either.
func portsAsked(gateway analyze.Proxy, ports ...uint32) []uint32 {
	out := slices.Clone(ports)
	for of, to := range gateway.Ports {
		if slices.Contains(ports, uint32(to)) {
			out = append(out, uint32(of))
		}
	}
	return out
}

// follow adds where a request is passed on to.
func (t *trouble) follow(out *wayTaken, f *explain.Forward) {
	for _, m := range f.Mirrors {
		out.hosts = append(out.hosts, m.Cluster[strings.LastIndexByte(m.Cluster, '|')+1:])
	}
	for _, c := range f.Clusters {
		out.hosts = append(out.hosts, c.Name[strings.LastIndexByte(c.Name, '|')+1:])
		for _, e := range c.Endpoints {
			to, err := netip.ParseAddrPort(e.Address)
			if server, ok := t.translation.Peer(to.Addr()); err == nil && ok {
				out.proxies, out.servers = append(out.proxies, server), append(out.servers, server)
			}
		}
	}
}

// touches tells whether what an object should do would be a part of the answer. That of which nothing is known does.
func (t *trouble) touches(f analyze.Finding, p wayTaken) bool {
	key := f.Object
	m, known := t.about[model.Key{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}]
	switch key.Kind {
	case model.KindMeshConfig, model.KindMeshNetworks:
		return true
	case model.KindVirtualService:
		return !known || t.routes(f, m, p)
	case model.KindGateway:
		return !known || slices.ContainsFunc(p.serversOf(m, f.Field), p.listens)
	case model.KindSecret:
		return t.certifies(key, p)
	}
	switch {
	case key.Name == "" || p.objects[key]:
		return true
	case slices.Contains([]model.Kind{model.KindDestinationRule, model.KindServiceEntry, model.KindIngress}, key.Kind):
		return !known || slices.ContainsFunc(m.hosts(), func(host string) bool { return p.names(host, key.Namespace) })
	case slices.Contains([]model.Kind{
		model.KindSidecar, model.KindEnvoyFilter, model.KindTelemetry, model.KindProxyConfig, model.KindRequestAuthentication,
	}, key.Kind):
		return p.selects(p.proxies, key.Namespace, m.selector())
	case key.Kind == model.KindPeerAuthentication || key.Kind == model.KindAuthorizationPolicy:
		return p.selects(p.servers, key.Namespace, m.selector())
	case key.Kind == model.KindService && len(m.selector()) > 0 && p.selects(p.servers, key.Namespace, m.selector()):
		return true
	}
	return p.names(key.Name, key.Namespace) || slices.ContainsFunc(p.proxies, func(of analyze.Proxy) bool {
		return key.Namespace == of.Namespace && key.Name == of.Name
	})
}

// routes tells whether what is wrong with a VirtualService is about the request: a part of a rule for its path, of its
// host's own VirtualService, or of one to which that delegates the path.
func (t *trouble) routes(f analyze.Finding, m manifest, p wayTaken) bool {
	if p.policies && strings.HasPrefix(f.Field, "spec.http") {
		return false
	}
	if rules, one := m.rulesIn(f.Field); one && !rules[0].mayTake(p.path) {
		return false
	}
	named := func(o manifest) bool {
		return slices.ContainsFunc(o.hosts(), func(host string) bool { return p.names(host, o.key().Namespace) })
	}
	if p.objects[f.Object] || named(m) {
		return true
	}
	for _, root := range t.about {
		if root.Kind == string(model.KindVirtualService) && named(root) && root.delegates(f.Object, p.path) {
			return true
		}
	}
	return false
}

// certifies tells whether a Secret is one that what the request passes asks for.
func (t *trouble) certifies(secret model.Key, p wayTaken) bool {
	if !slices.ContainsFunc(p.proxies, func(of analyze.Proxy) bool { return of.Namespace == secret.Namespace }) {
		return false
	}
	for _, m := range t.about {
		var asked []string
		switch model.Kind(m.Kind) {
		case model.KindGateway:
			for _, s := range m.Spec.Servers {
				if p.listens(s) {
					asked = append(asked, credentials(s.TLS)...)
				}
			}
		case model.KindDestinationRule:
			if p.names(m.Spec.Host, m.key().Namespace) {
				asked = append(credentials(m.Spec.TrafficPolicy), credentials(m.Spec.Subsets)...)
			}
		case model.KindIngress:
			if slices.ContainsFunc(m.hosts(), func(host string) bool { return p.names(host, m.key().Namespace) }) {
				for _, s := range m.Spec.TLS {
					asked = append(asked, s.SecretName)
				}
			}
		}
		if namesSecret(asked, secret.Name) {
			return true
		}
	}
	return false
}

// serverField is where a server of a Gateway stands.
var serverField = regexp.MustCompile(`^spec\.servers\[(\d+)\]`)

// serversOf gives the servers of which a field of a Gateway is a part: all, where it is of none.
func (p wayTaken) serversOf(m manifest, field string) []gatewayServer {
	if found := serverField.FindStringSubmatch(field); found != nil {
		if i, err := strconv.Atoi(found[1]); err == nil && i < len(m.Spec.Servers) {
			return m.Spec.Servers[i : i+1]
		}
	}
	return m.Spec.Servers
}

// listens tells whether a server of a Gateway is for what was asked: its host and its port, of a gateway.
func (p wayTaken) listens(s gatewayServer) bool {
	gateway := slices.ContainsFunc(p.proxies, func(of analyze.Proxy) bool { return of.Kind == model.RouterProxy })
	return gateway && (len(p.ports) == 0 || slices.Contains(p.ports, s.Port.Number)) &&
		(len(p.hosts) == 0 || slices.ContainsFunc(s.Hosts, func(host string) bool { return p.names(host, "") }))
}

// selects tells whether an object of a namespace with a selector is for one of the proxies.
func (p wayTaken) selects(proxies []analyze.Proxy, namespace string, selector map[string]string) bool {
	return slices.ContainsFunc(proxies, func(of analyze.Proxy) bool {
		return (namespace == of.Namespace || namespace == p.root) && model.HasLabels(of.Labels(), selector)
	})
}

// names tells whether one of the path's hosts is a host that an object of a namespace names.
func (p wayTaken) names(host, namespace string) bool {
	if host == "" {
		return false
	}
	host = model.CanonicalHost(host[strings.LastIndexByte(host, '/')+1:])
	return slices.ContainsFunc(p.hosts, func(h string) bool {
		return model.HostCovers(host, h) || strings.HasPrefix(h, host+"."+namespace+".svc.") || strings.HasPrefix(h, host+".svc.") || h == host+"."+namespace
	})
}
