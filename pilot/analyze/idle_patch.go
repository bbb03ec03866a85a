package analyze

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/patch"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// idlePatch is a patch of an EnvoyFilter of which no effect is known yet.
type idlePatch struct {
	*patch.Patch
	filter *model.Object
	index  int
	asked  bool            // some proxy has what it could be for
	names  map[string]bool // that such things have
}

// idlePatches finds patches of EnvoyFilters that change nothing in any proxy. Each is tried at what the proxies would run
// without any, until it has an effect somewhere.
func (m *mesh) idlePatches(ctx context.Context, patched *build.Builder, proxies []*model.Proxy) error {
	pending := map[*patch.Patch]*idlePatch{}
	parsed := map[*model.Object][]*patch.Patch{}
	for _, f := range of[*networking.EnvoyFilter](m, model.KindEnvoyFilter) {
		parsed[f.Object], _ = patch.Parse(f.Object)
		for i, p := range parsed[f.Object] {
			item := f.spec.GetConfigPatches()[i]
			if p != nil && item.GetApplyTo() != networking.EnvoyFilter_BOOTSTRAP && !p.Adds() && !byGateway(item.GetMatch()) {
				pending[p] = &idlePatch{Patch: p, filter: f.Object, index: i, names: map[string]bool{}}
			}
		}
	}
	if len(pending) == 0 || len(m.workloads) == 0 { // these may be elsewhere
		return nil
	}
	objects := slices.DeleteFunc(m.inCluster(), func(o *model.Object) bool { return o.Kind == model.KindEnvoyFilter })
	plain := build.New(build.Options{})
	if _, err := plain.Advance(ctx, store.Commit{Snapshot: store.FromObjects(objects, store.Options{Domain: m.domain, Cluster: m.cluster}), Full: true}); err != nil {
		return err
	}
	targets, done, d := m.patchTargets(), map[string]bool{}, newDecoder()
	for _, p := range proxies {
		if err := ctx.Err(); err != nil {
			return err
		}
		seat := patched.Seat(p)
		patched.Leave(seat)
		var set patch.Set
		for _, f := range resolve.EnvoyFilters(m.reader, &seat.Class, targets...) {
			for _, i := range f.Patches {
				if one := parsed[f.Object][i]; one != nil {
					set = append(set, one)
				}
			}
		}
		waiting := slices.ContainsFunc(set, func(p *patch.Patch) bool { return pending[p] != nil })
		if !waiting || done[seat.Class.Key] {
			continue
		}
		done[seat.Class.Key] = true
		own := plain.Seat(p)
		plain.Leave(own)
		if err := tryPatches(set, pending, plain, &own.Class, d); err != nil {
			return err
		}
	}
	for _, p := range pending {
		m.reportIdle(p)
	}
	return nil
}

// byGateway tells whether a match goes by a server of a Gateway, which a resource does not name.
func byGateway(match *networking.EnvoyFilter_EnvoyConfigObjectMatch) bool {
	rc := match.GetRouteConfiguration()
	return rc.GetGateway() != "" || rc.GetPortName() != ""
}

// patchTargets gives the targets of all patches.
func (m *mesh) patchTargets() []string {
	out := map[string]bool{}
	for _, f := range of[*networking.EnvoyFilter](m, model.KindEnvoyFilter) {
		for _, item := range f.spec.GetConfigPatches() {
			out[model.PatchTarget(item)] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// tryPatches takes patches off those that wait where they change something of what a proxy would run.
func tryPatches(set patch.Set, pending map[*patch.Patch]*idlePatch, plain *build.Builder, c *resolve.Class, d *decoder) error {
	made := plain.Result(c)
	for _, t := range []resource.Type{resource.Listeners, resource.Clusters, resource.Routes} {
		for _, r := range slices.Collect(made.Sets[t].All()) {
			whole, err := d.message(t, r)
			if err != nil {
				return err
			}
			at, context := plain.Place(c, r.Name, whole)
			for _, p := range set {
				waits := pending[p]
				if waits == nil || !p.In(context) {
					continue
				}
				if waits.asked = true; set.Changes(p, context, at, whole) {
					delete(pending, p)
					continue
				}
				waits.note(whole)
			}
		}
	}
	return nil
}

// wanted gives the innermost name that the patch looks for, with its field; "" for none.
func (p *idlePatch) wanted() (field, name string) {
	match := p.filter.Spec.(*networking.EnvoyFilter).GetConfigPatches()[p.index].GetMatch()
	filter := match.GetListener().GetFilterChain().GetFilter()
	rc := match.GetRouteConfiguration()
	for _, one := range [][2]string{
		{"listener.filterChain.filter.subFilter.name", filter.GetSubFilter().GetName()},
		{"listener.filterChain.filter.name", filter.GetName()},
		{"listener.listenerFilter", match.GetListener().GetListenerFilter()},
		{"listener.name", match.GetListener().GetName()},
		{"routeConfiguration.vhost.name", rc.GetVhost().GetName()},
		{"routeConfiguration.name", rc.GetName()},
		{"cluster.name", match.GetCluster().GetName()},
		{"cluster.service", match.GetCluster().GetService()},
	} {
		if one[1] != "" {
			return one[0], one[1]
		}
	}
	return "", ""
}

// note takes the names that the patch could have meant.
func (p *idlePatch) note(whole proto.Message) {
	field, _ := p.wanted()
	add := func(name string) { p.names[name] = name != "" }
	switch m := whole.(type) {
	case *clusterv3.Cluster:
		if field == "cluster.name" {
			add(m.GetName())
		} else if field == "cluster.service" {
			_, _, host := model.ClusterParts(m.GetName())
			add(host)
		}
	case *routev3.RouteConfiguration:
		if field == "routeConfiguration.name" {
			add(m.GetName())
		} else if field == "routeConfiguration.vhost.name" {
			for _, vh := range m.GetVirtualHosts() {
				add(vh.GetName())
			}
		}
	case *listenerv3.Listener:
		switch {
		case field == "listener.name":
			add(m.GetName())
		case field == "listener.listenerFilter":
			for _, f := range m.GetListenerFilters() {
				add(f.GetName())
			}
		case strings.HasPrefix(field, "listener.filterChain"):
			for _, fc := range append(slices.Clone(m.GetFilterChains()), m.GetDefaultFilterChain()) {
				noteFilters(fc, strings.Contains(field, "subFilter"), add)
			}
		}
	}
}

// noteFilters takes the names of the filters of a chain, or of those for requests.
func noteFilters(fc *listenerv3.FilterChain, requests bool, add func(string)) {
	for _, f := range fc.GetFilters() {
		manager := &hcm.HttpConnectionManager{}
		if !requests {
			add(f.GetName())
		} else if f.GetTypedConfig().MessageIs(manager) && f.GetTypedConfig().UnmarshalTo(manager) == nil {
			for _, h := range manager.GetHttpFilters() {
				add(h.GetName())
			}
		}
	}
}

// mostNames is how many names a finding has.
const mostNames = 8

// reportIdle tells of a patch without effect, where some proxy could have had it.
func (m *mesh) reportIdle(p *idlePatch) {
	if !p.asked {
		return
	}
	at := fmt.Sprintf("spec.configPatches[%d].match", p.index)
	field, name := p.wanted()
	if field == "" || p.names[name] {
		m.report(p.filter, at, "", Warning, "the patch changes nothing of any proxy that it is for: none has what it matches, or all are so already; correct the match, or remove it")
		return
	}
	var names []string
	for n, ok := range p.names {
		if ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	if len(names) > mostNames {
		names = spelling.Nearest(name, names)
	}
	there := ""
	if len(names) > 0 {
		there = "; there are " + strings.Join(names[:min(len(names), mostNames)], ", ")
	}
	m.report(p.filter, at+"."+field, "", Warning, "no proxy that it is for has %q there, so the patch changes nothing%s", name, there)
}
