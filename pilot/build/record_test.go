package build

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// about is what a question to a Reader is about.
type about struct{ ns, other, name, host string }

// questions are the methods of a Reader, but for those of unrecorded.
func questions() map[string]func(r store.Reader, a about) any {
	type R = store.Reader
	return map[string]func(r store.Reader, a about) any{
		"AliasObjects":            func(r R, a about) any { return r.AliasObjects(a.ns, a.host) },
		"AliasTarget":             func(r R, a about) any { return r.AliasTarget(a.ns, a.host) },
		"AliasedHosts":            func(r R, a about) any { return r.AliasedHosts(a.ns) },
		"Aliases":                 func(r R, a about) any { return r.Aliases(a.ns, a.host) },
		"AuthorizationPolicies":   func(r R, a about) any { return r.AuthorizationPolicies(a.ns) },
		"BoundHosts":              func(r R, a about) any { return r.BoundHosts(a.ns, a.other+"/"+a.name) },
		"BoundVirtualServices":    func(r R, a about) any { return r.BoundVirtualServices(a.ns, a.other+"/"+a.name, a.ns+"/"+a.host) },
		"ConditionalEnvoyFilters": func(r R, a about) any { return r.ConditionalEnvoyFilters(a.ns) },
		"DestinationRules":        func(r R, a about) any { return r.DestinationRules(a.other, a.ns, a.host) },
		"SecretDestinationRules":  func(r R, a about) any { return r.SecretDestinationRules(a.ns, model.SecretName(a.name)) },
		"DestinationSecrets":      func(r R, a about) any { return r.DestinationSecrets(a.ns) },
		"Endpoints":               func(r R, a about) any { return r.Endpoints(model.ServiceID{Namespace: a.ns, Hostname: a.host}) },
		"EnvoyFilters":            func(r R, a about) any { return r.EnvoyFilters(a.ns, model.PatchClusters) },
		"FailoverLabels":          func(r R, a about) any { return r.FailoverLabels(a.ns) },
		"Gateways":                func(r R, _ about) any { return r.Gateways() },
		"HasDynamicServices":      func(r R, a about) any { return r.HasDynamicServices(a.ns) },
		"HasEnvoyFilters":         func(r R, a about) any { return r.HasEnvoyFilters(a.ns) },
		"HasLongPeers":            func(r R, _ about) any { return r.HasLongPeers() },
		"HasLocatedNames":         func(r R, a about) any { return r.HasLocatedNames(a.ns) },
		"HasServicesByNode":       func(r R, a about) any { return r.HasServicesByNode(a.ns) },
		"KeySources":              func(r R, _ about) any { return r.KeySources() },
		"List":                    func(r R, a about) any { return r.List("virtual services", store.Place{Name: a.host}) },
		"Names":                   func(r R, a about) any { return r.Names("virtual services", store.Place{Client: a.ns}) },
		"Object": func(r R, a about) any {
			return r.Object(model.Key{Kind: model.KindSecret, Namespace: a.ns, Name: a.name})
		},
		"NetworkGateways":        func(r R, _ about) any { return r.NetworkGateways() },
		"Own":                    func(r R, a about) any { return r.Own(a.ns) },
		"PeerAuthentications":    func(r R, a about) any { return r.PeerAuthentications(a.ns) },
		"Pod":                    func(r R, a about) any { return r.Pod("", a.ns, a.name) },
		"PodsAt":                 func(r R, a about) any { return r.PodsAt("", "10.0.0."+a.name) },
		"RequestAuthentications": func(r R, a about) any { return r.RequestAuthentications(a.ns) },
		"RoutesByClaims":         func(r R, a about) any { return r.RoutesByClaims(a.ns) },
		"Service":                func(r R, a about) any { return r.Service(a.ns, a.host) },
		"Services":               func(r R, a about) any { return r.Services(a.ns) },
		"ServiceHostsIn":         func(r R, a about) any { return r.ServiceHostsIn(a.ns) },
		"ServicesNamed":          func(r R, a about) any { return r.ServicesNamed(a.ns, a.host) },
		"ServicesSelecting": func(r R, a about) any {
			return r.ServicesSelecting("", a.ns, map[string]string{"app": a.name, "version": "v1"})
		},
		"Sidecars":                 func(r R, a about) any { return r.Sidecars(a.ns) },
		"SourceLabels":             func(r R, a about) any { return r.SourceLabels(a.ns) },
		"Telemetries":              func(r R, a about) any { return r.Telemetries(a.ns) },
		"TurnsMetricsOn":           func(r R, _ about) any { return r.TurnsMetricsOn() },
		"TrustBundle":              func(r R, _ about) any { return r.TrustBundle() },
		"VirtualServiceHosts":      func(r R, a about) any { return r.VirtualServiceHosts(a.ns) },
		"VirtualServiceHostSets":   func(r R, a about) any { return r.VirtualServiceHostSets(a.ns) },
		"VirtualServices":          func(r R, a about) any { return r.VirtualServices(a.ns, a.host) },
		"VirtualServicesIn":        func(r R, a about) any { return r.VirtualServicesIn(a.other, a.ns) },
		"Wildcards":                func(r R, a about) any { return r.Wildcards("destination rules", store.Place{Namespace: a.ns}) },
		"VirtualServicesNaming":    func(r R, a about) any { return r.VirtualServicesNaming(a.ns, a.host) },
		"WorkloadDestinationRules": func(r R, a about) any { return r.WorkloadDestinationRules(a.ns) },

		"WorkloadAuthorizationPolicies":  func(r R, a about) any { return r.WorkloadAuthorizationPolicies(a.ns) },
		"WorkloadRequestAuthentications": func(r R, a about) any { return r.WorkloadRequestAuthentications(a.ns) },
	}
}

// unrecorded are the methods whose answer follows from no row, with the reason.
func unrecorded() map[string]string {
	return map[string]string{
		"Mesh": "a commit that changes it is a full one", "Domain": "it lasts as long as the process", "Cluster": "it lasts as long as the process", "Remote": "the sources last as long as the process", "Variable": "it lasts as long as the process",
		"SeveralNetworks": "a commit that changes it is a full one", "NetworkOf": "a commit that changes it is a full one",
		"Note": "it records", "Record": "it records", "With": "it gives a Reader",
	}
}

// answer is what a method said of something, and the rows that it left behind.
type answer struct {
	method, text string
	rows         []store.Row
}

// ask puts each question about all that is given.
func ask(s *store.Snapshot, all []about) []answer {
	var out []answer
	for method, question := range questions() {
		for _, a := range all {
			said := answer{method: method}
			said.text = textOf(question(s.Reader(func(row store.Row) { said.rows = append(said.rows, row) }), a))
			out = append(out, said)
		}
	}
	slices.SortStableFunc(out, func(a, b answer) int { return strings.Compare(a.method, b.method) })
	return out
}

// textOf writes an answer down, without what the store takes for the same.
func textOf(a any) string {
	switch a := a.(type) {
	case *model.Object:
		if a == nil {
			return "none"
		}
		if spec, ok := a.Spec.(proto.Message); ok {
			data, _ := proto.MarshalOptions{Deterministic: true}.Marshal(spec)
			return fmt.Sprintf("%v %x", a.Key, data)
		}
		return fmt.Sprint(a.Key)
	case []*model.Object:
		var out []string
		for _, o := range a {
			out = append(out, textOf(o))
		}
		return strings.Join(out, "\n")
	case *model.Service:
		if a == nil {
			return "none"
		}
		return fmt.Sprint(a.Key, a.Hostname, a.Addresses, a.Ports, a.Resolution, a.Selector)
	case []*model.Service:
		var out []string
		for _, svc := range a {
			out = append(out, textOf(svc))
		}
		return strings.Join(out, "\n")
	case []model.Endpoint:
		var out []string
		for _, e := range a {
			out = append(out, fmt.Sprint(e.Address, e.Port, e.Health, e.TLSMode, e.Network))
		}
		return strings.Join(out, "\n")
	case []store.Row:
		var out []string
		for _, row := range a {
			out = append(out, fmt.Sprint(row))
		}
		slices.Sort(out)
		return strings.Join(out, "\n")
	case *model.TrustBundle:
		if a == nil {
			return "none"
		}
		return fmt.Sprint(a.Roots)
	}
	return fmt.Sprint(a)
}

// TestEveryMethodRecordsWhatItReads asks each method of a Reader the same before and after each commit. An answer
// that is another one has to follow from a row that the former one left behind, and that the commit names. Each
// method gives another answer at some time, so that none can leave nothing behind.
func TestEveryMethodRecordsWhatItReads(t *testing.T) {
	asked := questions()
	for typ, i := reflect.TypeFor[store.Reader](), 0; i < typ.NumMethod(); i++ {
		name := typ.Method(i).Name
		if _, none := unrecorded()[name]; none == (asked[name] != nil) {
			t.Errorf("method %s: ask it in questions, or say in unrecorded why not", name)
		}
	}
	others := map[string]int{}
	for seed := range uint64(24) {
		e := editor{rand.New(rand.NewPCG(seed, 7))}
		var all []about
		for range 40 {
			a := about{ns: e.ns(), other: e.ns(), name: e.name()}
			a.host = pick(e, a.name+"."+a.other+".svc.cluster.local", "alias."+a.other+".svc.cluster.local", "other.example.com")
			all = append(all, a)
		}
		for n := range 6 {
			all = append(all, about{ns: e.ns(), other: e.ns(), name: fmt.Sprint(n)})
		}
		f, former, makers := storetest.NewFeed(t, nil), []answer(nil), e.rare()
		for range editSteps {
			o := e.object()
			if e.IntN(2) == 0 {
				o = makers[e.IntN(len(makers))]()
			}
			if e.IntN(4) == 0 {
				o = &model.Object{Key: o.Key}
			}
			for _, c := range f.Edit(o) {
				now := ask(c.Snapshot, all)
				for i := range former {
					if c.Full || former[i].text == now[i].text {
						continue
					}
					others[now[i].method]++
					if !slices.ContainsFunc(former[i].rows, func(row store.Row) bool { return slices.Contains(c.Rows, row) }) {
						t.Fatalf("seed %d: after %v %s gives\n%s\nafter\n%s\nand read %v, of which the commit names none: %v",
							seed, o.Key, now[i].method, now[i].text, former[i].text, former[i].rows, c.Rows)
					}
				}
				former = now
			}
		}
	}
	for method := range asked {
		if others[method] == 0 {
			t.Errorf("%s never gives another answer", method)
		}
	}
}
