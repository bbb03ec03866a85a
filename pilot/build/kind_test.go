package build

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// A kind that exists in this test alone: a Weather says something about a host, or all hosts of a
// suffix, to the namespaces that it is exported to. Its type and where it is listed:
const kindWeather model.Kind = "Weather"

type weather struct {
	Host, Says string
	ExportTo   []string
}

func weatherTable() store.Index {
	return store.Index{Kind: kindWeather, Name: "weathers", Wildcards: true, Own: true, Keys: func(s *store.Settings, o *model.Object) []store.Place {
		w := o.Spec.(*weather)
		place := store.Place{Name: model.ResolveHost(w.Host, o.Namespace, s.Domain)}
		audience := model.ExportTo(w.ExportTo, nil, o.Namespace)
		if audience.Everyone {
			return []store.Place{place}
		}
		var out []store.Place
		for _, ns := range audience.Namespaces {
			place.Client = ns
			out = append(out, place)
		}
		return out
	}}
}

// The method by which it is read:
func weathers(r store.Reader, client, host string) []*model.Object {
	var out []*model.Object
	for _, c := range []string{client, ""} {
		out = append(out, r.List("weathers", store.Place{Client: c, Name: host})...)
		for _, w := range r.Wildcards("weathers", store.Place{Client: c}) {
			if model.HostCovers(w, host) {
				out = append(out, r.List("weathers", store.Place{Client: c, Name: w})...)
			}
		}
	}
	return out
}

// And a unit for each service, which reads it.
type forecast struct {
	Outline
	class *resolve.Class
}

func withForecast(o Outline) Outline {
	if outbound, ok := o.(*outboundOutline); ok {
		return forecast{o, outbound.class}
	}
	return o
}

func (f forecast) Units() []UnitID {
	out := f.Outline.Units()
	for _, id := range f.Outline.Units() {
		if id.Kind == kindClusters {
			out = append(out, UnitID{Kind: KindExtension, Host: id.Host})
		}
	}
	return out
}

func (f forecast) Has(id UnitID) bool {
	if id.Kind == KindExtension {
		id.Kind = kindClusters
	}
	return f.Outline.Has(id)
}

func (f forecast) Compare(other Outline) Differences {
	d := f.Outline.Compare(other.(forecast).Outline)
	for _, ids := range []*[]UnitID{&d[resolve.Added], &d[resolve.Gone]} {
		for _, id := range *ids {
			if id.Kind == kindClusters {
				*ids = append(*ids, UnitID{Kind: KindExtension, Host: id.Host})
			}
		}
	}
	return d
}

func (f forecast) ChangedFacts(former Outline) []string {
	if former != nil {
		former = former.(forecast).Outline
	}
	return f.Outline.ChangedFacts(former)
}

func (f forecast) For(c *resolve.Class) Outline { return forecast{f.Outline.For(c), c} }

func (f forecast) Compute(in Input, id UnitID) Output {
	if id.Kind != KindExtension {
		return f.Outline.Compute(in, id)
	}
	var says []string
	for _, o := range weathers(in.Reader, f.class.Namespace, id.Host) {
		says = append(says, o.Spec.(*weather).Says)
	}
	out := Output{Type: resource.Listeners}
	name := "weather of " + id.Host
	r, err := resource.New(resource.Listeners, name, &listenerv3.Listener{Name: name, StatPrefix: strings.Join(says, ", ")})
	out.add(name, r, err)
	return out
}

func editWeather(e editor) *model.Object {
	return storetest.Object(kindWeather, e.ns(), e.name(), &weather{e.host(), "it is " + strconv.Itoa(e.IntN(40)) + " degrees", e.exportTo()})
}

// TestAKindIsATableAReaderAndAUnit adds a kind of which neither the layers nor what a commit reports know
// anything: what follows from it is computed again when it has to be.
func TestAKindIsATableAReaderAndAUnit(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(8) {
		h := history{
			seed: seed, options: Options{Extend: withForecast}, tables: []store.Index{weatherTable()}, more: editWeather,
			after: func(d *driver, _ []store.Row) {
				for _, s := range d.seats {
					for r := range s.set(resource.Listeners).All() {
						seen[r.Version] = seen[r.Version] || strings.HasPrefix(r.Name, "weather")
					}
				}
			},
		}
		if difference := h.run(t); difference != "" {
			t.Fatalf("seed %d: %s", seed, difference)
		}
	}
	if said := len(slices.DeleteFunc(slices.Collect(maps.Values(seen)), func(weather bool) bool { return !weather })); said < 100 {
		t.Errorf("only %d weathers were told", said)
	}
}

// TestEveryRecordCounts forgets, table by table, which units read what of it. Each time some history ends
// otherwise than from scratch: without one the record of that table would guard nothing.
func TestEveryRecordCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, minutes under the race detector; make unit runs it")
	}
	tables := map[string]bool{}
	plain := history{seed: 3, after: func(d *driver, _ []store.Row) {
		for row := range d.builder.index.cells {
			tables[row.Table] = true
		}
	}}
	if difference := plain.run(t); difference != "" {
		t.Fatal(difference)
	}
	for table := range tables {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			deaf := func(d *driver, _ []store.Row) {
				maps.DeleteFunc(d.builder.index.cells, func(row store.Row, _ *cell) bool { return row.Table == table })
			}
			for seed := range uint64(200) {
				if (history{seed: seed, after: deaf, more: rare(seed)}).run(t) != "" {
					return
				}
			}
			t.Errorf("without the record of %s nothing comes out otherwise", table)
		})
	}
}

// rare makes objects of what few units read. One kind of them has its turn in a history, and is edited most.
func rare(turn uint64) func(editor) *model.Object {
	return func(e editor) *model.Object {
		makers := e.rare()
		if e.IntN(3) > 0 {
			return makers[turn%uint64(len(makers))]()
		}
		return makers[e.IntN(len(makers))]()
	}
}

func (e editor) rare() []func() *model.Object {
	return []func() *model.Object{
		func() *model.Object { // often the same object with the same selector, so that its mode is all that changes
			pa := e.peerAuthentication()
			if pa.Selector != nil {
				pa.Selector.MatchLabels = map[string]string{"version": "v1"}
			}
			return storetest.Object(model.KindPeerAuthentication, e.ns(), "one", pa)
		},
		func() *model.Object {
			o := e.telemetry()
			if o.Selector != nil {
				o.Selector.MatchLabels = map[string]string{"version": "v1"}
			}
			return storetest.Object(model.KindTelemetry, e.ns(), "one", o)
		},
		func() *model.Object {
			if e.IntN(2) == 0 {
				key := model.KeySetSource{URL: "https://keys.example"}.Key()
				return storetest.Object(key.Kind, "", key.Name, &model.KeySet{Keys: pick(e, "a", "b")})
			}
			policy := e.requestAuthentication()
			if policy.Selector != nil {
				policy.Selector.MatchLabels = map[string]string{"version": "v1"}
			}
			return storetest.Object(model.KindRequestAuthentication, e.ns(), "one", policy)
		},
		func() *model.Object {
			policy := e.authorizationPolicy()
			if policy.Selector != nil {
				policy.Selector.MatchLabels = map[string]string{"version": "v1"}
			}
			return storetest.Object(model.KindAuthorizationPolicy, e.ns(), "one", policy)
		},
		e.trustBundle,
		e.networkGateway,
		func() *model.Object {
			return storetest.Object(model.KindServiceEntry, e.ns(), "dynamic", e.dynamicHosts(&networking.ServiceEntry{ExportTo: e.exportTo()}))
		},
		func() *model.Object { return storetest.Object(model.KindGateway, e.ns(), e.name(), e.gateway()) },
		func() *model.Object { return storetest.Object(model.KindSidecar, e.ns(), e.name(), e.sidecar()) },
		func() *model.Object { // a Sidecar leaves out the service that counts first, and takes the next
			if e.IntN(4) == 0 {
				hosts := []string{"*/other.example.com", "~" + e.ns() + "/other.example.com"}
				return storetest.Object(model.KindSidecar, e.ns(), "one", &networking.Sidecar{Egress: []*networking.IstioEgressListener{{Hosts: hosts}}})
			}
			return storetest.Object(model.KindServiceEntry, e.ns(), "one", &networking.ServiceEntry{
				Hosts: []string{"other.example.com"}, Resolution: networking.ServiceEntry_DNS,
				Ports: []*networking.ServicePort{{Number: pick(e, uint32(80), 8080, 9000), Name: "http", Protocol: "HTTP"}},
			})
		},
		func() *model.Object {
			return storetest.Object(model.KindSecret, e.ns(), pick(e, "web", "shop-cacert"), e.secret())
		},
		func() *model.Object { // for a host that nobody asks for, so that its secrets are all that matters
			rule := e.destinationRule()
			rule.Host, rule.WorkloadSelector, rule.TrafficPolicy.Tls = "nowhere.test", nil, e.clientTLS()
			return storetest.Object(model.KindDestinationRule, e.ns(), e.name(), rule)
		},
		func() *model.Object {
			return storetest.Object(model.KindEnvoyFilter, e.ns(), e.name(), e.envoyFilter())
		},
		func() *model.Object {
			return storetest.Object(model.KindVirtualService, e.ns(), e.name(), e.virtualService())
		},
		e.claims,
		func() *model.Object { return e.alias(e.ns()) },
		func() *model.Object { // that of a proxy not of ours, or not any longer
			return e.pod(e.ns(), strconv.Itoa(e.IntN(2)))
		},
		func() *model.Object { // proxies are told apart by labels that their places have
			rule := e.destinationRule()
			rule.WorkloadSelector, rule.TrafficPolicy.OutlierDetection = nil, &networking.OutlierDetection{}
			rule.TrafficPolicy.LoadBalancer = &networking.LoadBalancerSettings{LocalityLbSetting: &networking.LocalityLoadBalancerSetting{
				FailoverPriority: []string{pick(e, "version", "app", "kubernetes.io/hostname", "version=v1")},
			}}
			return storetest.Object(model.KindDestinationRule, e.ns(), e.name(), rule)
		},
	}
}
