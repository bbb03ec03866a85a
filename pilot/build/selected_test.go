package build

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// workloads gives a driver with n services, two in each namespace, and the proxy of a pod of each.
func workloads(t *testing.T, n int) (*driver, *storetest.Feed, []*seated) {
	var objects []*model.Object
	var proxies []*model.Proxy
	for i := range n {
		ns, name, ip := fmt.Sprint("ns-", i/2), fmt.Sprint("app-", i), fmt.Sprint("10.0.0.", 1+i)
		objects = append(objects,
			storetest.Service(ns, name, fmt.Sprint("172.16.0.", 1+i), corev1.ServicePort{Name: "http", Port: 80}),
			storetest.Pod(ns, name+"-0", ip, map[string]string{"app": name}))
		proxies = append(proxies, storetest.Sidecar(ns, name+"-0", ip))
	}
	d := newDriver(t)
	feed := storetest.NewFeed(t, nil, objects...)
	d.apply(feed.Edit()...)
	var seats []*seated
	for _, p := range proxies {
		seats = append(seats, d.join(p))
	}
	return d, feed, seats
}

// What selects one workload is sent to it alone: all others keep the very sets that they have, of each type, and
// no more is computed in a mesh of many namespaces than in one of few.
func TestWhatSelectsOneWorkloadIsSentToItAlone(t *testing.T) {
	selector := &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": "app-0"}}
	edits := map[string]*model.Object{
		"who may call": storetest.Object(model.KindAuthorizationPolicy, "ns-0", "p", &security.AuthorizationPolicy{Selector: selector, Rules: []*security.Rule{{}}}),
		"tokens": storetest.Object(model.KindRequestAuthentication, "ns-0", "p", &security.RequestAuthentication{
			Selector: selector, JwtRules: []*security.JWTRule{{Issuer: "a", Jwks: `{"keys":[]}`}},
		}),
		"mutual TLS": storetest.Object(model.KindPeerAuthentication, "ns-0", "p", &security.PeerAuthentication{
			Selector: selector, Mtls: &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT},
		}),
		"a patch": inboundPatch("ns-0", networking.EnvoyFilter_SIDECAR_INBOUND, &networking.WorkloadSelector{Labels: selector.GetMatchLabels()}),
	}
	for name, edit := range edits {
		computed := map[int]int{}
		for _, n := range []int{4, 40} {
			d, feed, seats := workloads(t, n)
			var before []Result
			for _, s := range seats {
				before = append(before, s.now())
			}
			was := d.computed
			d.apply(feed.Edit(edit)...)
			for i, s := range seats {
				if same := s.now().Sets == before[i].Sets; same != (i > 0) {
					t.Errorf("%s, %d workloads: what workload %d has is the same: %v", name, n, i, same)
				}
			}
			computed[n] = d.computed - was
		}
		if computed[40] > computed[4] {
			t.Errorf("%s: %d units of 4 workloads are computed, and %d of 40", name, computed[4], computed[40])
		}
	}
}

// inboundPatch is of all listeners of a side.
func inboundPatch(namespace string, side networking.EnvoyFilter_PatchContext, selector *networking.WorkloadSelector) *model.Object {
	value := &structpb.Struct{Fields: map[string]*structpb.Value{"stat_prefix": structpb.NewStringValue("patched")}}
	return storetest.Object(model.KindEnvoyFilter, namespace, "f", &networking.EnvoyFilter{
		WorkloadSelector: selector,
		ConfigPatches: []*networking.EnvoyFilter_EnvoyConfigObjectPatch{{
			ApplyTo: networking.EnvoyFilter_LISTENER, Match: &networking.EnvoyFilter_EnvoyConfigObjectMatch{Context: side},
			Patch: &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_MERGE, Value: value},
		}},
	})
}

// A patch of the outbound side leaves inbound listeners with what has no patches.
func TestPatchesOfOneSideLeaveTheOtherSides(t *testing.T) {
	for side, patches := range map[networking.EnvoyFilter_PatchContext]bool{
		networking.EnvoyFilter_SIDECAR_INBOUND: true, networking.EnvoyFilter_SIDECAR_OUTBOUND: false,
	} {
		d, feed, seats := workloads(t, 20)
		d.apply(feed.Edit(inboundPatch("istio-system", side, nil))...)
		for _, s := range seats {
			s.now()
		}
		found := 0
		for _, l := range d.builder.layers {
			for _, u := range l.units {
				if slices.ContainsFunc(u.changed, func(p *patched) bool { return p.name == model.VirtualInboundListener }) {
					found++
				}
			}
		}
		if patched := found > 0; patched != patches {
			t.Errorf("%v: %d inbound listeners are patched", side, found)
		}
	}
}

// A patch of what a workload receives computes none of the listeners of what its namespace sends.
func TestAnInboundPatchLeavesOutboundListenersAlone(t *testing.T) {
	d, feed, seats := workloads(t, 4)
	outbound := seats[0].outbound().version
	d.apply(feed.Edit(inboundPatch("ns-0", networking.EnvoyFilter_SIDECAR_INBOUND, nil))...)
	received := d.work.Computed
	if seats[0].now(); seats[0].outbound().version != outbound {
		t.Error("the namespace sends otherwise")
	}
	d.apply(feed.Edit(inboundPatch("ns-0", networking.EnvoyFilter_SIDECAR_OUTBOUND, nil))...)
	if d.work.Computed <= received {
		t.Errorf("%d units are computed for what is sent, %d for what is received", d.work.Computed, received)
	}
}
