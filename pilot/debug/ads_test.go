package debug

import (
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// connected is a mesh with a proxy in each of two namespaces.
func connected() Options {
	o := options()
	o.Name, o.ClusterID = "istiod-1", "Kubernetes"
	o.Snapshot = func() Snapshot { return noServices{} }
	o.Connections = func() []xds.Connection {
		var out []xds.Connection
		for _, ns := range []string{"istio-system", "shop"} {
			out = append(out, xds.Connection{Node: &push.Node{Proxy: model.Proxy{Name: "a", Namespace: ns}}, View: &push.View{}})
		}
		return out
	}
	return o
}

func TestQuestionsHaveTheRulesOfThePages(t *testing.T) {
	replica := &xds.Identity{Namespace: "mesh", ServiceAccount: "istiod", Pod: "istiod-1"}
	revision := &xds.Identity{Namespace: "mesh", ServiceAccount: "istiod-canary"}
	beside := &xds.Identity{Namespace: "mesh", ServiceAccount: "default"}
	root, shop, elsewhere := &xds.Identity{Namespace: "istio-system"}, &xds.Identity{Namespace: "shop"}, &xds.Identity{Namespace: "elsewhere"}
	for _, c := range []struct {
		what, peer  string
		id          *xds.Identity
		url, name   string
		code        codes.Code
		first, last string // of the resources' names
	}{
		{"the machine itself", "127.0.0.1:1", nil, xds.DebugSyncz, "", codes.OK, "a.istio-system", "a.shop"},
		{"plaintext from elsewhere", "10.0.0.1:1", nil, xds.DebugSyncz, "", codes.Unauthenticated, "", ""},
		{"plaintext from elsewhere, a page", "10.0.0.1:1", nil, xds.DebugType, "syncz", codes.Unauthenticated, "", ""},
		{"no address", "", nil, xds.DebugSyncz, "", codes.Unauthenticated, "", ""},
		{"the root namespace", "10.0.0.1:1", root, xds.DebugSyncz, "", codes.OK, "a.istio-system", "a.shop"},
		{"the root namespace, a page", "10.0.0.1:1", root, xds.DebugType, "connections", codes.OK, "connections", "connections"},
		{"a replica, whose namespace is not the root", "10.0.0.1:1", replica, xds.DebugType, "problems", codes.OK, "problems", "problems"},
		{"another revision, of roots", "10.0.0.1:1", revision, xds.DebugType, "pilothouse/roots", codes.OK, "pilothouse/roots", "pilothouse/roots"},
		{"another revision, of all else", "10.0.0.1:1", revision, xds.DebugType, "problems", codes.PermissionDenied, "", ""},
		{"another account of that namespace, of roots", "10.0.0.1:1", beside, xds.DebugType, "pilothouse/roots", codes.PermissionDenied, "", ""},
		{"another account of that namespace", "10.0.0.1:1", beside, xds.DebugType, "problems", codes.PermissionDenied, "", ""},
		{"another namespace sees its own", "10.0.0.1:1", shop, xds.DebugSyncz, "", codes.OK, "a.shop", "a.shop"},
		{"a third sees nothing", "10.0.0.1:1", elsewhere, xds.DebugSyncz, "", codes.OK, "", ""},
		{"another's proxy", "10.0.0.1:1", shop, xds.DebugConfigDump, "a.istio-system", codes.PermissionDenied, "", ""},
		{"its own, not connected", "10.0.0.1:1", shop, xds.DebugConfigDump, "b.shop", codes.OK, "b.shop", "b.shop"},
		{"a page of all", "10.0.0.1:1", shop, xds.DebugType, "syncz", codes.PermissionDenied, "", ""},
		{"a page of another's proxy", "10.0.0.1:1", shop, xds.DebugType, "config_dump?proxyID=a.istio-system", codes.PermissionDenied, "", ""},
		{"a page of two proxies", "10.0.0.1:1", shop, xds.DebugType, "config_dump?proxyID=a.istio-system&proxyID=a.shop", codes.PermissionDenied, "", ""},
		{"a page of its own proxy", "10.0.0.1:1", shop, xds.DebugType, "config_dump?proxyID=b.shop", codes.OK, "config_dump?proxyID=b.shop", "config_dump?proxyID=b.shop"},
		{"no name", "10.0.0.1:1", root, xds.DebugConfigDump, "", codes.InvalidArgument, "", ""},
		{"no page", "10.0.0.1:1", root, xds.DebugType, "../metrics", codes.NotFound, "", ""},
		{"a page elsewhere", "10.0.0.1:1", root, xds.DebugType, "//evil/syncz", codes.InvalidArgument, "", ""},
		{"what is written in parts", "10.0.0.1:1", root, xds.DebugType, "pilothouse/objects", codes.NotFound, "", ""},
		{"a profile", "10.0.0.1:1", root, xds.DebugType, "pprof/profile", codes.NotFound, "", ""},
		{"a type that there is not", "10.0.0.1:1", root, xds.DebugType + "/all", "x", codes.InvalidArgument, "", ""},
	} {
		q := xds.Question{Type: c.url, Identity: c.id, Peer: c.peer}
		if c.name != "" {
			q.Names = []string{c.name}
		}
		o := connected()
		o.Replica = xds.Identity{Namespace: "mesh", ServiceAccount: "istiod"}
		o.Roots = func() (ca.Heard, bool) { return ca.Heard{}, true }
		o.ControlPlane = func(id xds.Identity) bool { return id == *replica || id == *revision }
		answer, err := New(o).Answer(t.Context(), q)
		if got := grpcstatus.Code(err); got != c.code {
			t.Errorf("%s: %v, want %v (%v)", c.what, got, c.code, err)
			continue
		}
		if first, last := ends(answer.Resources); first != c.first || last != c.last {
			t.Errorf("%s: from %q to %q, want %q to %q", c.what, first, last, c.first, c.last)
		}
	}
}

func ends(all []*discoveryv3.Resource) (first, last string) {
	if len(all) == 0 {
		return "", ""
	}
	return all[0].GetName(), all[len(all)-1].GetName()
}

func TestNothingIsAnsweredBeforeTheFirstCommit(t *testing.T) {
	o := connected()
	o.Snapshot = func() Snapshot { return nil }
	_, err := New(o).Answer(t.Context(), xds.Question{Type: xds.DebugSyncz, Identity: &xds.Identity{Namespace: "istio-system"}, Peer: "10.0.0.1:1"})
	if grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}
