package inject

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestAddIsAsMerge: what add does is what merge does, and it knows which patches it does not know.
func TestAddIsAsMerge(t *testing.T) {
	in, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	pods := []string{
		`{}`,
		`{metadata: {name: p, labels: {a: x, b: "1"}, annotations: {c: d}}, spec: {containers: [{name: app, image: i, ports: [{containerPort: 80}]}, {name: app2}], initContainers: [{name: init}], volumes: [{name: v, emptyDir: {}}], imagePullSecrets: [{name: s}], nodeName: n}}`,
		`{spec: {containers: [{name: app, resources: {limits: {cpu: 1000m}}}], volumes: [{name: w, hostPath: {path: /}}], hostNetwork: true, terminationGracePeriodSeconds: 0}}`,
	}
	for name, c := range map[string]struct {
		patch string
		adds  []bool // by pod
	}{
		"nothing":           {`{}`, []bool{true, true, true}},
		"labels":            {`{metadata: {labels: {a: w, z: "2"}, annotations: {e: f}}}`, []bool{true, true, true}},
		"a label that goes": {`{metadata: {labels: {a: null}}}`, []bool{false, false, false}},
		"a number as label": {`{metadata: {labels: {a: 1}}}`, []bool{false, false, false}},
		"a name":            {`{metadata: {name: q}}`, []bool{false, false, false}},
		"containers": {
			`{spec: {initContainers: [{name: i1, args: [a]}, {name: i2}], containers: [{name: proxy, env: [{name: A, value: b}], securityContext: {runAsUser: 1337}}], volumes: [{name: x, projected: {sources: []}}], imagePullSecrets: [{name: t}, {name: u}]}}`,
			[]bool{true, true, true},
		},
		"a container that is there": {`{spec: {containers: [{name: app, image: j}]}}`, []bool{true, false, false}},
		"a volume that is there":    {`{spec: {volumes: [{name: v, secret: {secretName: s}}]}}`, []bool{true, false, true}},
		"one name twice":            {`{spec: {containers: [{name: proxy, image: j}, {name: proxy, args: [a]}]}}`, []bool{false, false, false}},
		"no name":                   {`{spec: {volumes: [{emptyDir: {}}]}}`, []bool{false, false, false}},
		"a directive":               {`{spec: {containers: [{name: app, $patch: delete}]}}`, []bool{false, false, false}},
		"an order":                  {`{spec: {$setElementOrder/containers: [{name: app}], containers: [{name: app}]}}`, []bool{false, false, false}},
		"a field that goes":         {`{spec: {nodeName: null}}`, []bool{false, false, false}},
		"lists that go":             {`{spec: {containers: null}}`, []bool{false, false, false}},
		"a field inside that goes":  {`{spec: {containers: [{name: proxy, image: null}]}}`, []bool{false, false, false}},
		"another field":             {`{spec: {securityContext: {fsGroup: 1337}}}`, []bool{false, false, false}},
		"a large number":            {`{spec: {containers: [{name: proxy, ports: [{containerPort: 5000000000}]}]}}`, []bool{false, false, false}},
		"a number for a text":       {`{spec: {containers: [{name: proxy, image: 1}]}}`, []bool{false, false, false}},
		"no mapping":                {`{spec: [a]}`, []bool{false, false, false}},
	} {
		var adds []bool
		for _, text := range pods {
			var pod, other corev1.Pod
			var patch, again map[string]any
			for into, from := range map[any]string{&pod: text, &other: text, &patch: c.patch, &again: c.patch} {
				if err := unmarshal(from, into); err != nil {
					t.Fatal(err)
				}
			}
			tree, _ := treeOf(patch).(object)
			more := in.added(tree)
			ok := more != nil && add(&pod, more)
			adds = append(adds, ok)
			merged, err := merge(&other, again)
			want := merged
			if !ok { // the pod has to be as it was
				if err := unmarshal(text, &other); err != nil {
					t.Fatal(err)
				}
				want = &other
			} else if err != nil {
				t.Fatal(name, err)
			}
			got, _ := json.Marshal(&pod)
			expected, _ := json.Marshal(want)
			if string(got) != string(expected) {
				t.Errorf("%s: %s, not %s", name, got, expected)
			}
		}
		if !slices.Equal(adds, c.adds) {
			t.Errorf("%s: it adds to %v, not %v", name, adds, c.adds)
		}
	}
}

// TestOurTemplatesAdd: what our own templates give the pods of all cases is added, and it is as merged.
func TestOurTemplatesAdd(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	adds := map[string]int{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := readCase(t, a)
		in, err := New(c.options)
		if err != nil {
			continue
		}
		data, err := in.data(&c.pod, c.ns, c.owner)
		if err != nil {
			continue
		}
		for _, name := range []string{"sidecar", "gateway"} {
			patch, err := in.patch([]string{name}, data)
			if err != nil || in.config.Templates[name] != embedded(t, name) {
				continue
			}
			pod := c.pod.DeepCopy()
			takeOverridden(pod, patchedContainers(patch))
			other := pod.DeepCopy()
			if more := in.added(patch); more == nil || !add(pod, more) {
				continue
			}
			adds[name]++
			maps, _ := mapsOf(patch).(map[string]any)
			merged, err := merge(other, maps)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := json.Marshal(pod)
			want, _ := json.Marshal(merged)
			if string(got) != string(want) {
				t.Errorf("%s, template %s: %s, not %s", file, name, got, want)
			}
		}
	}
	if adds["sidecar"] < len(files)/2 {
		t.Errorf("of %d cases the templates added to %v", len(files), adds)
	}
}

// unmarshal reads YAML with the numbers of templates' results.
func unmarshal(text string, into any) error {
	if m, ok := into.(*map[string]any); ok {
		v, err := readAnyYAML(text)
		*m, _ = v.(map[string]any)
		return err
	}
	return yaml.Unmarshal([]byte(text), into)
}
