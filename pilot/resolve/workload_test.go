package resolve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// podsOfShop are two pods of one service account, one of another, one in its node's network, one that has ended with
// the address of its successor, and one without an address yet. Their labels begin with a prefix.
func podsOfShop(prefix string) string {
	pod := func(cluster, name, account, ip, more string) string {
		return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default, labels: {app: %s%s}}
spec: {serviceAccountName: %s, %scontainers: [{name: app, image: x}]}
status: {podIP: %s, phase: Running}
`, name, cluster, name, account, more, ip)
	}
	return pod(prefix, "web", "shop", "10.0.0.1", "") + pod(prefix, "api", "shop", "10.0.0.2", "") + pod(prefix, "db", "data", "10.0.0.3", "") +
		pod(prefix, "host", "shop", "192.0.2.1", "hostNetwork: true, ") + pod(prefix, "old", "shop", "10.0.0.5", "") +
		pod(prefix, "next", "shop", "10.0.0.5", "") + pod(prefix, "new", "shop", `""`, "") + pod(prefix, "gateway", "gateway", "10.0.0.6", "")
}

func TestAProxyIsThePodThatItProvesToBe(t *testing.T) {
	r := read(t, podsOfShop(""))
	said := map[string]string{"app": "said"}
	for name, c := range map[string]struct {
		names, account, bound, peer string // what it names, proves and connects from
		pod, labels                 string // what it is, and what its label says then
		doubt                       string
	}{
		"bound to its pod":                        {"web", "shop", "web", "10.0.0.1", "web", "web", ""},
		"bound, through a gateway":                {"web", "shop", "web", "10.0.0.6", "web", "web", ""},
		"bound, and names another pod":            {"api", "shop", "web", "10.0.0.2", "web", "web", ""},
		"bound to a pod that is not known yet":    {"later", "shop", "later", "10.0.0.9", "", "said", ""},
		"bound, where a former pod has its name":  {"db", "shop", "db", "10.0.0.9", "", "said", `service account "data"`},
		"from its address":                        {"web", "shop", "", "10.0.0.1", "web", "web", ""},
		"from another pod's address":              {"web", "shop", "", "10.0.0.2", "api", "api", "default/api"},
		"from an address of two":                  {"next", "shop", "", "10.0.0.5", "next", "next", ""},
		"from an address of two, naming a third":  {"web", "shop", "", "10.0.0.5", "next", "next", "default/next"},
		"names no pod, from a pod's address":      {"nothing", "shop", "", "10.0.0.1", "web", "web", "default/web"},
		"of another account":                      {"db", "shop", "", "10.0.0.9", "", "", `service account "data"`},
		"of another account, at its own address":  {"db", "shop", "", "10.0.0.1", "web", "web", "default/web"},
		"through a gateway of another account":    {"web", "shop", "", "10.0.0.6", "web", "web", ""},
		"through NAT":                             {"web", "shop", "", "203.0.113.1", "web", "web", ""},
		"from an address that is not known":       {"web", "shop", "", "", "web", "web", ""},
		"in its node's network":                   {"host", "shop", "", "192.0.2.1", "host", "host", ""},
		"from the node, of no pod in its network": {"web", "shop", "", "192.0.2.1", "web", "web", ""},
		"its address is not known yet":            {"new", "shop", "", "10.0.0.8", "new", "new", ""},
		"its pod is not known yet, or a machine":  {"later", "shop", "", "10.0.0.9", "", "said", ""},
	} {
		p := &model.Proxy{
			Type: model.SidecarProxy, Name: c.names, Namespace: "default", Labels: said, Peer: c.peer,
			Proof: &model.Proof{ServiceAccount: c.account, Pod: c.bound},
		}
		w := resolve.WorkloadOf(r, p)
		got := ""
		if w.Pod != nil {
			got = w.Pod.Name
		}
		if got != c.pod || w.Labels["app"] != c.labels {
			t.Errorf("%s: it is %q, labelled %v; want %q, %q", name, got, w.Labels, c.pod, c.labels)
		}
		if (w.Doubt == "") != (c.doubt == "") || !strings.Contains(w.Doubt, c.doubt) {
			t.Errorf("%s: doubt %q, want %q", name, w.Doubt, c.doubt)
		}
	}
}

// Clusters have Pods of the same names and addresses, and a proxy is one of the cluster that it names.
func TestAProxyIsAPodOfItsCluster(t *testing.T) {
	own, problems := file.Decode([]byte(podsOfShop("")), "own.yaml")
	remote, more := file.Decode([]byte(podsOfShop("west-")), "remote.yaml")
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	for _, o := range remote {
		o.Cluster = "west"
	}
	r := store.FromObjects(append(own, remote...), store.Options{Domain: "cluster.local"}).Reader(nil)
	for cluster, want := range map[string]string{"": "web", "Kubernetes": "web", "west": "west-web"} {
		for how, p := range map[string]*model.Proxy{
			"bound":   {Proof: &model.Proof{ServiceAccount: "shop", Pod: "web"}},
			"by peer": {Proof: &model.Proof{ServiceAccount: "shop"}, Peer: "10.0.0.1"},
			"by name": {Proof: &model.Proof{ServiceAccount: "shop"}, Peer: "203.0.113.1"},
			"said":    {},
		} {
			p.Type, p.Name, p.Namespace, p.ClusterID = model.SidecarProxy, "web", "default", cluster
			if p.Proof != nil {
				p.Proof.Foreign = cluster == "west"
			}
			if w := resolve.WorkloadOf(r, p); w.Labels["app"] != want || w.Doubt != "" {
				t.Errorf("%s in cluster %q: %v, %q; want %s", how, cluster, w.Labels, w.Doubt, want)
			}
		}
	}
}

// Who proves to be a Pod of another cluster is not the one that has its name here, whatever cluster it names; and a Pod of
// this cluster is none of another.
func TestAPodOfAnotherClusterIsNoneOfThisOne(t *testing.T) {
	own, problems := file.Decode([]byte(podsOfShop("")), "own.yaml")
	remote, more := file.Decode([]byte(podsOfShop("west-")), "remote.yaml")
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	for _, o := range remote {
		o.Cluster = "west"
	}
	r := store.FromObjects(append(own, remote...), store.Options{Domain: "cluster.local"}).Reader(nil)
	for _, c := range []struct {
		foreign bool
		cluster string // that the proxy names
		want    string
	}{
		{true, "", "said"},
		{true, "Kubernetes", "said"},
		{true, "east", "said"}, // whose Pods nobody has told of
		{true, "west", "west-web"},
		{false, "west", "web"},
		{false, "east", "web"},
		{false, "Kubernetes", "web"},
	} {
		for how, p := range map[string]*model.Proxy{
			"bound":   {Proof: &model.Proof{ServiceAccount: "shop", Pod: "web", Foreign: c.foreign}},
			"by peer": {Proof: &model.Proof{ServiceAccount: "shop", Foreign: c.foreign}, Peer: "10.0.0.1"},
			"by name": {Proof: &model.Proof{ServiceAccount: "shop", Foreign: c.foreign}, Peer: "203.0.113.1"},
		} {
			p.Type, p.Name, p.Namespace, p.ClusterID, p.Labels = model.SidecarProxy, "web", "default", c.cluster, map[string]string{"app": "said"}
			if w := resolve.WorkloadOf(r, p); w.Labels["app"] != c.want {
				t.Errorf("foreign %v, %s, names the cluster %q: %v; want %s", c.foreign, how, c.cluster, w.Labels, c.want)
			}
		}
	}
}

// Without proof, which loopback and the plain port alone take, the Pod that is named is the proxy's.
func TestAProxyWithoutProofIsThePodThatItNames(t *testing.T) {
	r := read(t, podsOfShop(""))
	for name, want := range map[string]string{"web": "web", "db": "db", "later": "said"} {
		p := &model.Proxy{Type: model.SidecarProxy, Name: name, Namespace: "default", Peer: "10.0.0.2", Labels: map[string]string{"app": "said"}}
		if w := resolve.WorkloadOf(r, p); w.Labels["app"] != want || w.Doubt != "" {
			t.Errorf("%s: %v, %q", name, w.Labels, w.Doubt)
		}
	}
}
