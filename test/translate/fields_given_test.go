package translate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/workload"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Who is given something by the mesh. The first are pods with a proxy each, as worldProxies has them.
const (
	client = iota
	server
	gateway
	vm
	controlPlane
	numConsumers

	proxies = vm // how many have an Envoy
)

// consumerNames are what they are called where a difference is shown.
var consumerNames = [numConsumers]string{"client", "server", "gateway", "machine", "control plane"}

// itemKind is what a consumer is given: one of the types of resources that its Envoy is sent, or one of these.
type itemKind int

const (
	injectedPod    = itemKind(resource.NumTypes) + iota // a pod with its proxy
	agentPlan                                           // what an agent does
	machineEntry                                        // the WorkloadEntry that a machine is registered by
	machineSetting                                      // the environment of a machine
	fetchedKeys                                         // what the control plane fetches from elsewhere
)

var kindNames = map[itemKind]string{
	itemKind(resource.Clusters): "cluster", itemKind(resource.Endpoints): "endpoints", itemKind(resource.Listeners): "listener",
	itemKind(resource.Routes): "routes", itemKind(resource.Secrets): "secret", itemKind(resource.NameTables): "names",
	itemKind(resource.TrustBundles): "trust bundle", itemKind(resource.BootstrapPatches): "bootstrap",
	injectedPod: "pod", agentPlan: "agent", machineEntry: "entry", machineSetting: "environment", fetchedKeys: "fetch",
}

// itemName names what a consumer is given.
type itemName struct {
	kind itemKind
	name string
}

// item is what a consumer is given.
type item struct {
	version string
	refused string // why there is none
	make    func() any
	made    any
}

// tree gives it as JSON has it.
func (i *item) tree() any {
	if i.made == nil && i.make != nil {
		i.made = i.make()
	}
	return i.made
}

func resourceItem(t *testing.T, r *resource.Resource) *item {
	return &item{version: string(r.Version), make: func() any { return treeOf(t, r) }}
}

// given is what consumers are given, each by name.
type given [numConsumers]map[itemName]*item

// add gives a consumer something, as JSON, or the error instead.
func (g *given) add(t *testing.T, to int, kind itemKind, name string, text []byte, err error) {
	t.Helper()
	if g[to] == nil {
		g[to] = map[itemName]*item{}
	}
	if err != nil {
		g[to][itemName{kind, name}] = &item{version: err.Error(), refused: err.Error()}
		return
	}
	g[to][itemName{kind, name}] = &item{version: string(text), make: func() any {
		var out any
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return out
	}}
}

// settings are the objects that say what else than proxies' resources is given.
type settings struct {
	proxyConfigs, groups []*model.Object
}

func settingsOf(objects []*model.Object) (out settings) {
	for _, o := range objects {
		switch o.Kind {
		case model.KindProxyConfig:
			out.proxyConfigs = append(out.proxyConfigs, o)
		case model.KindWorkloadGroup:
			out.groups = append(out.groups, o)
		}
	}
	return out
}

// given gives what pods, agents and machines are given. It is kept, since most objects change nothing of it.
func (w *world) given(t *testing.T, objects []*model.Object) given {
	t.Helper()
	s := settingsOf(objects)
	var key strings.Builder
	key.WriteString(marshalled(t, w.reader.Mesh()))
	for _, o := range slices.Concat(s.proxyConfigs, s.groups) {
		key.WriteString(o.Key.String() + marshalled(t, o.Spec.(proto.Message)))
	}
	out, ok := w.kept[key.String()]
	if !ok {
		w.addPods(t, &out, s.proxyConfigs)
		for _, group := range s.groups {
			w.addMachine(t, &out, group)
		}
		w.kept[key.String()] = out
	}
	for _, fetch := range w.reader.KeySources() {
		out.add(t, controlPlane, fetchedKeys, fetch.Name(), fmt.Appendf(nil, `{"timeout": %q}`, fetch.Timeout), nil)
	}
	return out
}

func marshalled(t *testing.T, m proto.Message) string {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// unchanging is a source of chance that is none, so that the secret of a pod's probes is always the same.
type unchanging struct{ io.Reader }

func (unchanging) Read(p []byte) (int, error) { return len(p), nil }

// addPods gives each pod its proxy, as the injector makes it, and the client's agent its environment.
func (w *world) addPods(t *testing.T, out *given, configs []*model.Object) {
	t.Helper()
	injector, err := inject.New(inject.Options{Mesh: w.reader.Mesh(), ProxyConfigs: configs, Random: unchanging{}})
	for i, text := range []string{client: clientPod, server: serverPod, gateway: gatewayPod} {
		pod := &corev1.Pod{}
		if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
			t.Fatal(err)
		}
		injected := pod
		if err == nil {
			injected, _, err = injector.Pod(pod, nil, inject.Owner{})
		}
		if err != nil {
			out.add(t, i, injectedPod, "", nil, err)
			continue
		}
		out.add(t, i, injectedPod, "", podText(t, injected), nil)
		if i == client { // other agents differ from it by their pods alone
			plan, refused := w.agents.inPod(t, injected)
			out.add(t, i, agentPlan, "", plan, refused)
		}
	}
}

// podText gives a pod with its variables by name, but for its ProxyConfig, which is for its agent.
func podText(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	data, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	spec := whole["spec"].(map[string]any)
	for _, kind := range []string{"initContainers", "containers"} {
		containers, _ := spec[kind].([]any)
		for _, c := range containers {
			variables, _ := c.(map[string]any)["env"].([]any)
			byName := map[string]any{}
			for _, v := range variables {
				v := v.(map[string]any)
				byName[v["name"].(string)] = cmp.Or(v["value"], v["valueFrom"])
			}
			delete(byName, proxyConfigVariable)
			c.(map[string]any)["env"] = byName
		}
	}
	if data, err = json.Marshal(whole); err != nil {
		t.Fatal(err)
	}
	return data
}

// addMachine gives a machine of a group its files, and its agent these.
func (w *world) addMachine(t *testing.T, out *given, group *model.Object) {
	t.Helper()
	mesh, err := protojson.Marshal(w.reader.Mesh())
	if err != nil {
		t.Fatal(err)
	}
	c := &workload.Config{Group: group, Mesh: mesh, Namespace: model.RootNamespace, ClusterID: "Kubernetes", InternalIP: machineAddress, Register: true}
	files, err := c.Files()
	if err != nil {
		out.add(t, vm, machineSetting, "", nil, err)
		return
	}
	environment, err := json.Marshal(variables(files["cluster.env"]))
	out.add(t, vm, machineSetting, "", environment, err)
	plan, refused := w.agents.onMachine(t, files)
	out.add(t, vm, agentPlan, "", plan, refused)
	for _, entry := range machines([]*model.Object{group}) {
		spec, err := protojson.Marshal(entry.Spec.(*networking.WorkloadEntry))
		if err != nil {
			t.Fatal(err)
		}
		annotations, err := json.Marshal(entry.Annotations)
		if err != nil {
			t.Fatal(err)
		}
		out.add(t, vm, machineEntry, "", fmt.Appendf(nil, `{"annotations": %s, "spec": %s}`, annotations, spec), nil)
	}
}
