package inject

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/tools/txtar"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// cases gives all golden cases.
func cases(t *testing.T) (out []testCase) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := readCase(t, a)
		out = append(out, c)
	}
	return out
}

// variants gives pods that differ from one in a single thing each, of which templates may read it.
func variants(pod *corev1.Pod) (out []*corev1.Pod) {
	change := func(f func(*corev1.Pod)) {
		p := pod.DeepCopy()
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		f(p)
		out = append(out, p)
	}
	change(func(*corev1.Pod) {})
	change(func(p *corev1.Pod) { p.Name, p.GenerateName = "other", "" })
	change(func(p *corev1.Pod) { p.Name, p.GenerateName = "", "" })
	change(func(p *corev1.Pod) { p.Name = `a "name": that # is \ none` })
	change(func(p *corev1.Pod) { p.Namespace = "another" })
	change(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "another" })
	change(func(p *corev1.Pod) {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "set", Controller: &yes}}
	})
	for _, label := range []string{
		"security.istio.io/tlsMode", "topology.istio.io/network", "app", "version", "app.kubernetes.io/name", "app.kubernetes.io/version",
		"service.istio.io/canonical-name", "service.istio.io/canonical-revision", "service.istio.io/workload-name",
	} {
		change(func(p *corev1.Pod) { p.Labels[label] = "said" })
	}
	change(func(p *corev1.Pod) { clear(p.Labels) })
	change(func(p *corev1.Pod) { clear(p.Annotations) })
	for name, values := range annotationExamples {
		for _, value := range values {
			change(func(p *corev1.Pod) { p.Annotations[name] = value })
		}
	}
	change(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "more"}) })
	change(func(p *corev1.Pod) { p.Spec.Containers = nil })
	change(func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "ports", Ports: []corev1.ContainerPort{{Name: "p", ContainerPort: 77}}})
	})
	change(func(p *corev1.Pod) {
		user := int64(7)
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: model.ProxyContainer, SecurityContext: &corev1.SecurityContext{RunAsUser: &user}})
	})
	change(func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "istio-data"}) })
	return out
}

// annotationExamples are values of annotations by which the result is another one.
var annotationExamples = map[string][]string{
	"proxy.istio.io/config":                            {"{proxyMetadata: {A: b}}", "{holdApplicationUntilProxyStarts: true}", "{image: {imageType: debug}, statusPort: 15999}"},
	"sidecar.istio.io/proxyImage":                      {"example.org/proxy:v9"},
	"sidecar.istio.io/proxyImageType":                  {"debug"},
	"sidecar.istio.io/proxyCPU":                        {"77m"},
	"sidecar.istio.io/proxyMemoryLimit":                {"777Mi"},
	"sidecar.istio.io/nativeSidecar":                   {"true", "false"},
	"sidecar.istio.io/interceptionMode":                {"NONE"},
	"sidecar.istio.io/logLevel":                        {"trace", "error"},
	"sidecar.istio.io/userVolume":                      {`{"mine":{"emptyDir":{}}}`},
	"sidecar.istio.io/userVolumeMount":                 {`{"mine":{"mountPath":"/mine"}}`, `{"mine":{"mountPath":"/other"}}`},
	"sidecar.istio.io/bootstrapOverride":               {"custom", "another"},
	"sidecar.istio.io/discoveryAddress":                {"elsewhere:15012"},
	"status.sidecar.istio.io/port":                     {"0", "15777"},
	"traffic.sidecar.istio.io/excludeOutboundPorts":    {"7777", "8888"},
	"traffic.sidecar.istio.io/includeOutboundIPRanges": {"10.0.0.0/8"},
	"kubectl.kubernetes.io/default-container":          {"said", "another"},
	"readiness.status.sidecar.istio.io/periodSeconds":  {"77", "88"},
	"resource.opentelemetry.io/service.name":           {"said"},
	model.AnnotationSecurePort:                         {"15777"},
	model.AnnotationNetBindService:                     {"true"},
}

// TestKeptIsAsFresh: one injector gives the pods of all cases, and variants of them, what an injector gives that keeps
// nothing and shows templates all of a pod; in any order, and for each pod when it comes again.
func TestKeptIsAsFresh(t *testing.T) {
	all := cases(t)
	var pods []testCase
	for _, c := range all {
		for _, p := range variants(&c.pod) {
			pods = append(pods, testCase{pod: *p, ns: c.ns, owner: c.owner})
		}
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for n, c := range all {
		c.options.Random = repeating{}
		kept, err := New(c.options)
		if err != nil {
			continue
		}
		fresh, err := New(c.options)
		if err != nil {
			t.Fatal(err)
		}
		fresh.keeps = false
		chance.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
		some := pods[:min(len(pods), 60)]
		if n == 0 {
			some = pods
		}
		for i := range some {
			p := &some[i]
			want, _ := outcome(fresh, p)
			for range 2 {
				if got, _ := outcome(kept, p); got != want {
					t.Fatalf("case %d, pod %v: kept %s\nfresh %s", n, p.pod.ObjectMeta, got, want)
				}
			}
		}
	}
}

func outcome(in *Injector, c *testCase) (text string, injected bool) {
	out, injected, err := in.Pod(&c.pod, c.ns, c.owner)
	if err != nil {
		return err.Error(), false
	}
	written, err := toJSON(out)
	return fmt.Sprint(written, injected, err), injected
}

// TestKeyHasAllOfTheInput: whatever of an input is another one, its key is another one, but for what an injector gives
// all its pods.
func TestKeyHasAllOfTheInput(t *testing.T) {
	same := map[string]bool{"MeshConfig": true, "Values": true, "Revision": true, "ClusterID": true, "InboundTrafficPolicyMode": true}
	common := &meshconfig.ProxyConfig{}
	key := func(i input) string {
		out, err := i.key(common)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	base := input{ProxyConfig: common}
	seen := map[string]string{key(base): "nothing"}
	var vary func(path []int, of reflect.Type)
	vary = func(path []int, of reflect.Type) {
		for n := range of.NumField() {
			f, at := of.Field(n), append(append([]int{}, path...), n)
			if f.Type == reflect.TypeFor[verbatim]() {
				vary(at, f.Type)
				continue
			}
			i := base
			v := reflect.ValueOf(&i).Elem().FieldByIndex(at)
			if f.Name == "ObjectMeta" {
				i.ObjectMeta.Annotations = map[string]string{"a": "b"}
			} else {
				other(t, f.Name, v)
			}
			keys := []string{key(i)}
			switch f.Name { // these have a value that may be another one
			case "ObjectMeta":
				i.ObjectMeta.Annotations = map[string]string{"a": "c"}
				keys = append(keys, key(i))
			case "ProxyConfig":
				i.ProxyConfig = &meshconfig.ProxyConfig{ProxyMetadata: map[string]string{"A": "b"}}
				keys = append(keys, key(i))
			}
			for _, k := range keys {
				if was, known := seen[k]; known != same[f.Name] {
					t.Errorf("%s: its key is that of %q", f.Name, was)
				}
				seen[k] = f.Name
			}
		}
	}
	vary(nil, reflect.TypeFor[input]())
	if n, fields := len((&verbatim{}).texts()), reflect.TypeFor[verbatim]().NumField(); n != fields {
		t.Errorf("%d of %d texts are marked", n, fields)
	}
}

// other gives a field another value than it has.
func other(t *testing.T, name string, v reflect.Value) {
	if !v.CanSet() { // of an embedded struct that is not exported
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("another")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(77)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	default:
		t.Fatalf("%s has a type that no test knows", name)
	}
}

// TestPodsShareAnAddition: what differs only in names and in texts that are written as they are runs no template.
func TestPodsShareAnAddition(t *testing.T) {
	in, err := New(Options{NativeSidecar: true})
	if err != nil {
		t.Fatal(err)
	}
	var out []*corev1.Pod
	for n := range 50 {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", n), Labels: map[string]string{"app": fmt.Sprint("a", n), "version": fmt.Sprint("v", n)}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: fmt.Sprint("c", n), Ports: []corev1.ContainerPort{{ContainerPort: int32(80 + n)}}}}},
		}
		injected, _, err := in.Pod(pod, nil, Owner{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, injected)
	}
	if n := len(in.additions.kept); n != 1 {
		t.Errorf("%d additions are kept", n)
	}
	for n, pod := range out {
		proxy := findProxy(pod)
		for name, want := range map[string]string{"ISTIO_META_WORKLOAD_NAME": "p", "ISTIO_META_APP_CONTAINERS": "c"} {
			if got := getEnv(proxy.Env, name); got != fmt.Sprint(want, n) {
				t.Errorf("pod %d: %s is %s", n, name, got)
			}
		}
		if got := pod.Labels["service.istio.io/canonical-name"]; got != fmt.Sprint("a", n) {
			t.Errorf("pod %d has the canonical name %s", n, got)
		}
	}
	for n := range 3 * maxAdditions {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a": fmt.Sprint(n)}}}
		if _, _, err := in.Pod(pod, nil, Owner{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(in.additions.kept); n > maxAdditions {
		t.Errorf("%d additions are kept", n)
	}
}

// TestMarksAreWholeValues: what has a mark anywhere else than as the whole of a label, an annotation or a variable is
// not kept.
func TestMarksAreWholeValues(t *testing.T) {
	a := newAdditions()
	mark := a.markOf(0)
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		kept   bool
	}{
		"none":        {func(*corev1.Pod) {}, true},
		"a label":     {func(p *corev1.Pod) { p.Labels = map[string]string{"a": mark} }, true},
		"a variable":  {func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].Value = mark }, true},
		"a part":      {func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].Value = "a" + mark }, false},
		"a beginning": {func(p *corev1.Pod) { p.Labels = map[string]string{"a": mark + "a"} }, false},
		"a name":      {func(p *corev1.Pod) { p.Labels = map[string]string{mark: "a"} }, false},
		"elsewhere":   {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{mark} }, false},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Env: []corev1.EnvVar{{Name: "A"}}}}}}
		c.change(pod)
		if found, err := a.find(pod); err != nil || (found.pod != nil) != c.kept {
			t.Errorf("%s: kept %v, %v", name, found.pod != nil, err)
		}
	}
}
