package translate

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// kubernetesTypes are the types of Kubernetes whose fields speak to a mesh. Of the others the mesh reads
// what localnode/pod does not (pilot/source/file/lean.go has it), and a kubelet or an API server the rest.
var kubernetesTypes = []kubernetesType{
	{
		"Ingress",
		[]string{ingressTo(`"service": {"name": "reviews", "port": {"number": 9080}}`), ingressTo(`"service": {"name": "reviews", "port": {}}`), ingressTo("")},
		reflect.TypeFor[networkingv1.IngressSpec](),
		[]string{"spec"},
	},
	{
		"Service",
		[]string{
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "walked", "namespace": "default"},
		"spec": {"clusterIP": "10.96.0.20", "selector": {"app": "reviews"}, "ports": [{"name": "http", "port": 7000, "targetPort": 9080}]}}`,
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "walked", "namespace": "default"}, "spec": {"type": "ExternalName", "externalName": "bare.default.svc.cluster.local"}}`,
		},
		reflect.TypeFor[corev1.ServiceSpec](),
		[]string{"spec"},
	},
	{
		"EndpointSlice",
		[]string{slice(`"conditions": {}`), slice(`"targetRef": {"kind": "Pod"}`), slice(`"targetRef": {"name": "reviews-v1-0"}`)},
		reflect.TypeFor[discoveryv1.EndpointSlice](), nil,
	},
}

// kubernetesType is a type whose fields are walked.
type kubernetesType struct {
	kind  string
	bases []string // in any of which a field has to act
	spec  reflect.Type
	at    []string // what is walked
}

// ingressTo gives an Ingress with a backend.
func ingressTo(backend string) string {
	return `{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "walked", "namespace": "default"},
		"spec": {"ingressClassName": "istio", "tls": [{"secretName": "c", "hosts": ["a.example.com"]}], "rules": [{"host": "a.example.com",
		"http": {"paths": [{"path": "/a", "pathType": "Prefix", "backend": {` + backend + `}}]}}]}}`
}

// slice gives an EndpointSlice with more about its endpoint.
func slice(more string) string {
	return `{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "walked", "namespace": "default",
		"labels": {"kubernetes.io/service-name": "bare"}}, "addressType": "IPv4",
		"endpoints": [{"addresses": ["10.0.7.1"], ` + more + `}], "ports": [{"name": "http", "port": 9080}]}`
}

// kubernetesQuiet are fields that no proxy follows, each with who does.
var kubernetesQuiet = map[string]string{
	"Service.spec.ports.nodePort":                                "what comes from outside of the cluster is a node's",
	"Service.spec.externalIPs":                                   "what comes from outside of the cluster is a node's",
	"Service.spec.loadBalancerIP":                                "what comes from outside of the cluster is a cloud's",
	"Service.spec.loadBalancerSourceRanges":                      "what comes from outside of the cluster is a cloud's",
	"Service.spec.loadBalancerClass":                             "what comes from outside of the cluster is a cloud's",
	"Service.spec.allocateLoadBalancerNodePorts":                 "what comes from outside of the cluster is a cloud's",
	"Service.spec.externalTrafficPolicy":                         "what comes from outside of the cluster is a node's",
	"Service.spec.healthCheckNodePort":                           "what comes from outside of the cluster is a node's",
	"Service.spec.sessionAffinityConfig.clientIP.timeoutSeconds": "sessionAffinity is reported",
	"Service.spec.ipFamilies":                                    "an API server chooses the addresses by it",
	"Service.spec.ipFamilyPolicy":                                "an API server chooses the addresses by it",
	"EndpointSlice.endpoints.hostname":                           "a name for DNS, which the pod tells",
	"EndpointSlice.endpoints.conditions.serving":                 "what ends gets no new requests, whether it still serves or not",
	"EndpointSlice.endpoints.deprecatedTopology":                 "written by older controllers, zone has it",
	"EndpointSlice.endpoints.nodeName":                           "where the pod runs, which Services that ask for the node follow",
	"EndpointSlice.endpoints.hints.forZones.name":                "a controller's plan for trafficDistribution, which proxies follow themselves",
	"EndpointSlice.endpoints.hints.forNodes.name":                "a controller's plan for trafficDistribution, which proxies follow themselves",
	"EndpointSlice.endpoints.targetRef.apiVersion":               "kind and name say it",
	"EndpointSlice.endpoints.targetRef.namespace":                "that of the slice",
	"EndpointSlice.endpoints.targetRef.uid":                      "kind and name say it",
	"EndpointSlice.endpoints.targetRef.resourceVersion":          "kind and name say it",
	"EndpointSlice.endpoints.targetRef.fieldPath":                "kind and name say it",
	"EndpointSlice.ports.protocol":                               "that of the Service's port",
	"EndpointSlice.ports.appProtocol":                            "that of the Service's port",
}

// kubernetesSamples are values of fields that mean something where none of the usual ones does.
var kubernetesSamples = map[string][]any{
	"Service.spec.type":                                         {"ExternalName"},
	"Service.spec.externalName":                                 {"ratings.default.svc.cluster.local"},
	"Service.spec.clusterIP":                                    {"10.96.0.21", "None"},
	"Service.spec.clusterIPs":                                   {[]string{"10.96.0.21"}},
	"Service.spec.sessionAffinity":                              {"ClientIP"},
	"Service.spec.internalTrafficPolicy":                        {"Local"},
	"Service.spec.trafficDistribution":                          {"PreferClose", "PreferSameNode"},
	"Service.spec.ports.protocol":                               {"UDP"},
	"Service.spec.ports.appProtocol":                            {"tcp"},
	"Service.spec.ports.targetPort":                             {9081, "http"},
	"EndpointSlice.addressType":                                 {"FQDN"},
	"EndpointSlice.endpoints.addresses":                         {[]string{"10.0.7.2"}},
	"EndpointSlice.endpoints.targetRef.name":                    {"reviews-v1-0"},
	"EndpointSlice.endpoints.targetRef.kind":                    {"Pod"},
	"Ingress.spec.ingressClassName":                             {"other"},
	"Ingress.spec.rules.host":                                   {"b.example.com"},
	"Ingress.spec.rules.http.paths.path":                        {"/b"},
	"Ingress.spec.rules.http.paths.pathType":                    {"Exact"},
	"Ingress.spec.rules.http.paths.backend.service.name":        {"ratings"},
	"Ingress.spec.rules.http.paths.backend.service.port.number": {9090},
	"Ingress.spec.rules.http.paths.backend.service.port.name":   {"http"},
	"Ingress.spec.tls.hosts":                                    {[]string{"b.example.com"}},
}

// typeLeaves visits the JSON names of the leaves of a type.
func typeLeaves(t reflect.Type, path []string, visit func(path []string, t reflect.Type)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[intstr.IntOrString]() {
		visit(path, t)
		return
	}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		switch {
		case name == "metadata" || name == "kind" && len(path) == 0 || name == "apiVersion" && len(path) == 0:
		case name == "" && (t.Field(i).Anonymous || strings.Contains(options, "inline")):
			typeLeaves(t.Field(i).Type, path, visit)
		case name != "":
			typeLeaves(t.Field(i).Type, append(slices.Clone(path), name), visit)
		}
	}
}

// put sets a path in an object's JSON, in the first item of a list; list tells that the value is a list's.
func put(object map[string]any, t reflect.Type, path []string, value any) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	field := fieldOf(t, path[0])
	if len(path) == 1 {
		if k := reflect.ValueOf(value).Kind(); field.Kind() == reflect.Slice && k != reflect.Slice {
			value = []any{value}
		}
		object[path[0]] = value
		return
	}
	next, _ := object[path[0]].(map[string]any)
	if list, ok := object[path[0]].([]any); ok {
		next, _ = list[0].(map[string]any)
	} else if next == nil {
		next = map[string]any{}
		object[path[0]] = next
		if field.Kind() == reflect.Slice {
			object[path[0]] = []any{next}
		}
	}
	put(next, field, path[1:], value)
}

func fieldOf(t reflect.Type, name string) reflect.Type {
	f, ok := t.FieldByNameFunc(func(n string) bool {
		f, _ := t.FieldByName(n)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return tag == name
	})
	if !ok {
		return reflect.TypeFor[string]()
	}
	return f.Type
}

// usual gives values for a type.
func usual(t reflect.Type) []any {
	switch t.Kind() {
	case reflect.Bool:
		return []any{true, false}
	case reflect.Int32, reflect.Int64:
		return []any{7001}
	case reflect.Map:
		return []any{map[string]string{"app": "client"}}
	}
	return []any{"x"}
}

// kubernetesWalk is the walk of a type.
type kubernetesWalk struct {
	kubernetesType
	outcomes []outcome
}

func kubernetesKinds() []apiKind {
	var out []apiKind
	for _, k := range kubernetesTypes {
		out = append(out, &kubernetesWalk{kubernetesType: k})
	}
	return out
}

func (k *kubernetesWalk) name() string { return k.kind }

func (k *kubernetesWalk) found() []outcome { return k.outcomes }

// walk does for a type of Kubernetes what walked.walk does for messages.
func (k *kubernetesWalk) walk(t *testing.T, world *world) {
	typeLeaves(k.spec, nil, func(path []string, leaf reflect.Type) {
		out := outcome{path: strings.Join(slices.Concat(k.at, path), "."), values: map[string]string{}}
		name := k.kind + "." + out.path
		values, stated := kubernetesSamples[name]
		if !stated {
			values = usual(leaf)
		}
		for _, value := range values {
			tr := k.try(t, world, path, value, stated, &out)
			out.acts = out.acts || tr.acts
			if stated || tr.acts || len(tr.lines) > 0 {
				out.tried = append(out.tried, tr)
			}
		}
		switch out.quiet = kubernetesQuiet[name]; {
		case (out.acts || out.reported) && out.quiet != "":
			t.Errorf("%s is in a table that it needs not be in: %+v", name, out)
		case !out.acts && !out.reported && out.quiet == "":
			t.Errorf("%s has no effect, and nothing tells so", name)
		}
		k.outcomes = append(k.outcomes, out)
	})
}

// brackets are the places in lists within a path.
var brackets = regexp.MustCompile(`\[\d+\]`)

// try sets a leaf to a value, in one base after the other until one shows what it does.
func (k *kubernetesWalk) try(t *testing.T, world *world, path []string, value any, stated bool, out *outcome) (tr trial) {
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	for i, base := range k.bases {
		before := world.before(t, []byte(base))
		after := world.effect(t, changed(t, base, k.spec, k.at, path, value))
		said := slices.DeleteFunc(slices.Clone(after.problems), func(p model.Problem) bool {
			around := strings.HasPrefix(out.path, brackets.ReplaceAllString(p.Field, "")+".")
			return p.Reason != model.ReasonNotTranslated || p.Object.Name != "walked" || slices.Contains(before.problems, p) && !around
		})
		for _, p := range said {
			out.reported, out.said = true, p.Field
			if stated {
				out.values[fmt.Sprint(value)] = p.Message
			} else {
				out.why = p.Message
			}
		}
		if acts := !before.same(after); i == 0 || acts || len(said) > 0 {
			tr = tried(t, string(text), base, "", before, after)
			if tr.acts = acts; acts || len(said) > 0 {
				return tr
			}
		}
	}
	return tr
}

// changed gives an object with a value set.
func changed(t *testing.T, base string, kind reflect.Type, at, path []string, value any) []byte {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(base), &object); err != nil {
		t.Fatal(err)
	}
	inner := object
	for _, step := range at {
		inner = inner[step].(map[string]any)
	}
	put(inner, kind, path, value)
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
