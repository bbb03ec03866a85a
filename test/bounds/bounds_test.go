// Package bounds tests that what validation takes, a real Envoy takes too. Each field of the kinds that
// are translated is set to extreme values in turn, by reflection. So a field that comes with a later
// version of Istio's API has its turn without being listed.
package bounds

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

var every = flag.Bool("every", false, "try every text in every field, and not a part in each")

// candidate is a resource that Envoy has to take, with what it was made of.
type candidate struct {
	url, name string
	body      *anypb.Any
	of        string
}

// asker translates for proxies of every sort and keeps what it has not seen before.
type asker struct {
	t       *testing.T
	around  []*model.Object // the mesh in which an object is tried
	proxies []*model.Proxy
	seen    map[string]bool
	found   []*candidate
	faults  map[string]string // what is wrong, by what it was made of
}

func newAsker(t *testing.T, proxies []string) *asker {
	t.Helper()
	a := &asker{t: t, around: decode(t, "testdata/mesh.yaml"), seen: map[string]bool{}, faults: map[string]string{}}
	for _, p := range []translate.Proxy{
		{Name: "client", Namespace: "default", IPs: []string{"10.1.0.9"}, DNSCapture: true, Locality: "eu/a/b"},
		{Name: "a-1", Namespace: "default", IPs: []string{"10.1.0.1"}},
		{Name: "gateway", Namespace: "istio-system", Type: model.RouterProxy, IPs: []string{"10.1.0.8"}},
	} {
		if slices.Contains(proxies, p.Name) {
			a.proxies = append(a.proxies, p.Model())
		}
	}
	return a
}

func decode(t *testing.T, path string) []*model.Object {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := file.Decode(data, path)
	for _, p := range problems {
		if p.Reason != model.ReasonNotTranslated {
			t.Fatal(p)
		}
	}
	return objects
}

// add translates an object in its mesh.
func (a *asker) add(o *model.Object, of string) {
	objects := slices.DeleteFunc(slices.Clone(a.around), func(x *model.Object) bool { return x.Key == o.Key })
	r := translate.Snapshot(append(objects, o))
	for _, p := range a.proxies {
		built := translate.Build(r, p)
		for _, c := range built.ByType["clusters"] {
			a.resource(c.Body, of)
		}
		for _, e := range built.ByType["endpoints"] {
			a.resource(e.Body, of)
		}
		listeners, err := translate.Inlined(built)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, l := range listeners {
			a.resource(l, of)
		}
	}
}

// resource keeps a resource under a name of its own.
func (a *asker) resource(m proto.Message, of string) {
	original, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err == nil && a.seen[string(original)] {
		return
	}
	a.seen[string(original)] = true
	if err == nil {
		err = translate.Validate(m)
	}
	if err != nil {
		a.faults[of] = fmt.Sprintf("makes an invalid message: %v", err)
		return
	}
	n := len(a.found)
	c := &candidate{name: fmt.Sprintf("r%d", n), of: of}
	switch m := m.(type) {
	case *clusterv3.Cluster:
		c.url, m.Name = clusterURL, c.name
		if m.EdsClusterConfig != nil { // which would wait for endpoints
			m.EdsClusterConfig, m.ClusterDiscoveryType = nil, &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			m.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.name}
		}
		c.body = envoy.Any(m)
	case *endpointv3.ClusterLoadAssignment:
		c.url = clusterURL
		c.body = envoy.Any(&clusterv3.Cluster{
			Name: c.name, LoadAssignment: m, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		})
	case *listenerv3.Listener:
		// Whether an address can be bound is the proxy's matter, so none is.
		c.url, m.Name, m.BindToPort = listenerURL, c.name, wrapperspb.Bool(false)
		if pipe := m.GetAddress().GetPipe(); pipe != nil {
			pipe.Path = fmt.Sprintf("%.80s%d", pipe.Path, n) // one of its own
		} else {
			m.GetAddress().GetSocketAddress().PortSpecifier = &core.SocketAddress_PortValue{PortValue: uint32(1 + n%65535)}
		}
		c.body = envoy.Any(m)
	}
	a.found = append(a.found, c)
}

// What validation takes is taken by a real Envoy, whatever value stands in whatever field. No source gives anything else.
func TestEnvoyTakesWhatValidationTakes(t *testing.T) {
	for _, c := range []struct {
		kind    string
		proxies []string // whose resources depend on the kind
	}{
		{"virtualservice", []string{"client", "gateway"}},
		{"destinationrule", []string{"client", "a-1"}},
		{"gateway", []string{"gateway"}},
		{"sidecar", []string{"client", "a-1"}},
		{"peerauthentication", []string{"client", "a-1"}},
		{"telemetry", []string{"client", "a-1", "gateway"}},
		{"requestauthentication", []string{"a-1", "gateway"}},
		{"authorizationpolicy", []string{"a-1", "gateway"}},
		{"serviceentry", []string{"client", "gateway"}},
		{"workloadentry", []string{"client"}},
		{"meshconfig", []string{"client", "a-1", "gateway"}},
		{"ingress", []string{"gateway"}},
		{"service", []string{"client", "a-1", "gateway"}},
		{"endpointslice", []string{"client", "gateway"}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			a := newAsker(t, c.proxies)
			tried := a.try(decode(t, "testdata/"+c.kind+".yaml"))
			t.Logf("%d objects make %d resources", tried, len(a.found))
			j := newJudge(t)
			for c, reason := range j.refuses(a.found) {
				a.faults[c.of] = "Envoy refuses: " + reason
			}
			for _, of := range slices.Sorted(maps.Keys(a.faults)) {
				t.Errorf("%s: %s", of, innermost(a.faults[of]))
			}
			for _, reason := range j.secretsRefused() {
				if strings.Contains(reason, "~") && strings.Contains(reason, "Invalid path") {
					continue // a revocation list that is not there, which concerns what names it alone
				}
				t.Errorf("Envoy refuses a secret: %s", reason)
			}
		})
	}
}

// try adds every mutation of the objects that validation takes, and gives their number.
func (a *asker) try(objects []*model.Object) (tried int) {
	share := 4
	if *every {
		share = 1
	}
	done := map[string]bool{}
	for _, o := range objects {
		vary := func(func(mutation)) {} // nothing of the ConfigMap around a mesh configuration
		switch spec := o.Spec.(type) {
		case proto.Message:
			vary = func(found func(mutation)) { mutations(spec, share, found) }
		case *corev1.ConfigMap:
		case runtime.Object:
			vary = func(found func(mutation)) { structMutations(spec, share, done, found) }
		}
		for _, p := range validate.Object(o) {
			if p.Reason != model.ReasonNotTranslated {
				a.t.Fatal(p)
			}
		}
		vary(func(m mutation) {
			changed := *o
			changed.Spec = m.spec
			if !slices.ContainsFunc(validate.Object(&changed), func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
				tried++
				a.add(&changed, fmt.Sprintf("%s: %s", o.Key, m.field))
			}
		})
	}
	return tried
}

// innermost gives the end of a long message, where the field stands that was refused.
func innermost(reason string) string {
	reason = strings.TrimSpace(reason)
	return reason[max(0, len(reason)-200):]
}
