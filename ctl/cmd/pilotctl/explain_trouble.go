package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// trouble is the errors of the files of which explain was asked, of which those are told that touch the answer.
type trouble struct {
	found []analyze.Finding
	about map[model.Key]manifest
	names []string // of the files

	translation *analyze.Translation
	proxy       analyze.Proxy
}

// manifest is what an object says of whom it is for, whether it makes sense or not.
type manifest struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Host  string   `json:"host"`
		Hosts []string `json:"hosts"`
		// Servers are a Gateway's, Rules an Ingress's.
		Servers []struct {
			Hosts []string `json:"hosts"`
		} `json:"servers"`
		Rules []struct {
			Host string `json:"host"`
		} `json:"rules"`
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		WorkloadSelector struct {
			Labels map[string]string `json:"labels"`
		} `json:"workloadSelector"`
	} `json:"spec"`
}

// hosts are those that an object has rules for.
func (m manifest) hosts() []string {
	out := append([]string{m.Spec.Host}, m.Spec.Hosts...)
	for _, s := range m.Spec.Servers {
		out = append(out, s.Hosts...)
	}
	for _, r := range m.Spec.Rules {
		out = append(out, r.Host)
	}
	return out
}

// newTrouble keeps the errors, and what their objects are about.
func newTrouble(files []analyze.File, found []analyze.Finding, names []string) trouble {
	out := trouble{about: map[model.Key]manifest{}, names: names}
	for _, f := range found {
		if f.Level == analyze.Error {
			out.found = append(out.found, f)
		}
	}
	for _, f := range files {
		if !slices.ContainsFunc(out.found, func(e analyze.Finding) bool { return e.Origin.File == f.Name }) {
			continue
		}
		docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(f.Data), 4096)
		for {
			var m manifest
			err := docs.Decode(&m)
			if err == io.EOF {
				break
			}
			if err == nil && m.Metadata.Name != "" {
				if m.Metadata.Namespace == "" {
					m.Metadata.Namespace = "default"
				}
				out.about[model.Key{Kind: model.Kind(m.Kind), Namespace: m.Metadata.Namespace, Name: m.Metadata.Name}] = m
			}
		}
	}
	return out
}

// of notes which proxy of which mesh was asked.
func (t *trouble) of(all *analyze.Translation, p analyze.Proxy) { t.translation, t.proxy = all, p }

// tell prints the errors that touch what was asked, and how many others there are.
func (t *trouble) tell(w io.Writer, asked string, r *explain.Request, a *explain.Answer) error {
	if len(t.found) == 0 {
		return nil
	}
	p := t.way(asked, r, a)
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

// wayTaken is what an answer goes by.
type wayTaken struct {
	objects map[model.Key]bool
	hosts   []string
	proxies []analyze.Proxy
}

// way collects the objects, the hosts and the proxies that a request has to do with.
func (t *trouble) way(asked string, r *explain.Request, a *explain.Answer) wayTaken {
	out := wayTaken{objects: map[model.Key]bool{}, hosts: []string{model.CanonicalHost(asked)}, proxies: []analyze.Proxy{t.proxy}}
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
	if a.Outcome.Forward == nil {
		return out
	}
	for _, m := range a.Outcome.Forward.Mirrors {
		out.hosts = append(out.hosts, m.Cluster[strings.LastIndexByte(m.Cluster, '|')+1:])
	}
	for _, c := range a.Outcome.Forward.Clusters {
		out.hosts = append(out.hosts, c.Name[strings.LastIndexByte(c.Name, '|')+1:])
		for _, e := range c.Endpoints {
			to, err := netip.ParseAddrPort(e.Address)
			if server, ok := t.translation.Peer(to.Addr()); err == nil && ok {
				out.proxies = append(out.proxies, server)
			}
		}
	}
	return out
}

// touches tells whether what an object should do would be a part of the answer. That of which nothing is known does.
func (t *trouble) touches(f analyze.Finding, p wayTaken) bool {
	key := f.Object
	m, known := t.about[model.Key{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}]
	switch {
	case key.Name == "" || key.Kind == model.KindMeshConfig || p.objects[key]:
		return true
	case slices.Contains([]model.Kind{
		model.KindVirtualService, model.KindDestinationRule, model.KindServiceEntry, model.KindGateway, model.KindIngress,
	}, key.Kind):
		return !known || slices.ContainsFunc(m.hosts(), func(host string) bool { return p.names(host, key.Namespace) })
	case slices.Contains([]model.Kind{
		model.KindSidecar, model.KindEnvoyFilter, model.KindTelemetry, model.KindProxyConfig, model.KindSecret,
		model.KindPeerAuthentication, model.KindRequestAuthentication, model.KindAuthorizationPolicy,
	}, key.Kind):
		return slices.ContainsFunc(p.proxies, func(of analyze.Proxy) bool {
			return (key.Namespace == of.Namespace || key.Namespace == t.translation.RootNamespace()) &&
				model.HasLabels(of.Labels(), m.Spec.Selector.MatchLabels) && model.HasLabels(of.Labels(), m.Spec.WorkloadSelector.Labels)
		})
	}
	return p.names(key.Name, key.Namespace) || slices.ContainsFunc(p.proxies, func(of analyze.Proxy) bool {
		return key.Namespace == of.Namespace && key.Name == of.Name
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
