package operator

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// anything decodes a value as IstioOperator files are decoded.
func anything(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const patched = `
metadata: {annotations: {sidecar.istio.io/inject: "false"}}
a:
  b:
  - {name: n1, value: v1}
  - {name: "n2:x", list: [v1, v2, v3_regex, "--a=b.c:1", 7]}
  c: null
  d: text
  "e[0]": 1
`

// TestWrite has the cases of Istio's documentation and of the documentation of its package patch.
func TestWrite(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{`a.b.[name:n1].value`, `v2`, `{a: {b: [{name: n1, value: v2}]}}`},
		{`a.b[name:n1].value`, `2`, `{a: {b: [{name: n1, value: 2}]}}`},
		{`a.b.[0].value`, `v2`, `{a: {b: [{name: n1, value: v2}]}}`},
		{`a.b.[name:n1].new`, `{deep: [1]}`, `{a: {b: [{name: n1, value: v1, new: {deep: [1]}}]}}`},
		{`a.b.[name:n1].new.er.value`, `1`, `{a: {b: [{name: n1, value: v1, new: {er: {value: 1}}}]}}`},
		{`a.b.[name:n1]`, `{other: 1}`, `{a: {b: [{other: 1}]}}`},
		{`a.b.[name:n1]`, ``, `{a: {b: []}}`},
		{`a.b.[name:n1].value`, `null`, `{a: {b: [{name: n1}]}}`},
		{`a.b`, ``, `{a: {}}`},
		{`a.b.[-1].name`, `n3`, `{a: {b: [{name: n1, value: v1}, {name: n3}]}}`},
		{`a.b.[1]`, `{name: n3}`, `{a: {b: [{name: n1, value: v1}, {name: n3}]}}`},
		{`a.b`, `{name: n3}`, `{a: {b: [{name: n1, value: v1}, {name: n3}]}}`},
		{`a.b`, `[{name: n3}]`, `{a: {b: [{name: n3}]}}`},
		{`a.b.[name:n1].list.[0].x`, `1`, `{a: {b: [{name: n1, value: v1, list: [{x: 1}]}]}}`},
		{`a.b.[name:n1].value`, "|\n  x:\n    y: 1", `{a: {b: [{name: n1, value: "x:\n  y: 1"}]}}`},
		{`a.b.[name:n1].from`, "|\n  x:\n    y: 1", `{a: {b: [{name: n1, value: v1, from: {x: {y: 1}}}]}}`},
		{`a.b.[name:n1].from`, "|\n  from:\n    y: 1", `{a: {b: [{name: n1, value: v1, from: {y: 1}}]}}`},
		{`a.b.[name:n1].from`, `'{"x": 1}'`, `{a: {b: [{name: n1, value: v1, from: '{"x": 1}'}]}}`},
	} {
		written(t, `{a: {b: [{name: n1, value: v1}]}}`, c.path, c.value, c.want)
	}
	for _, c := range []struct{ path, value, want string }{
		{`l.[v2]`, `v4`, `{l: [v1, v4, v3_regex, "--a=b.c:1", 7]}`},
		{`l.[:v2]`, `v4`, `{l: [v1, v4, v3_regex, "--a=b.c:1", 7]}`},
		{`l.[v3]`, ``, `{l: [v1, v2, "--a=b.c:1", 7]}`},
		{`l.[^v[23]$]`, ``, `{l: [v1, v3_regex, "--a=b.c:1", 7]}`},
		{`l.[--a=b.c:1]`, `x`, `{l: [v1, v2, v3_regex, x, 7]}`},
		{`l.[--a=b\.c\:1]`, `x`, `{l: [v1, v2, v3_regex, x, 7]}`},
		{`l.[:7]`, `8`, `{l: [v1, v2, v3_regex, "--a=b.c:1", 8]}`},
		{`l.[5]`, `8`, `{l: [v1, v2, v3_regex, "--a=b.c:1", 7, 8]}`},
		{`l.[9]`, `8`, `{l: [v1, v2, v3_regex, "--a=b.c:1", 7, 8]}`},
		{`l`, `8`, `{l: [v1, v2, v3_regex, "--a=b.c:1", 7, 8]}`},
		{`l.[4]`, ``, `{l: [v1, v2, v3_regex, "--a=b.c:1"]}`},
	} {
		written(t, `{l: [v1, v2, v3_regex, "--a=b.c:1", 7]}`, c.path, c.value, c.want)
	}
	written(t, `{m: {a.b/c: x, "e[0]": 1}}`, `m.a\.b/c`, `y`, `{m: {a.b/c: y, "e[0]": 1}}`)
	written(t, `{m: {a.b/c: x, "e[0]": 1}}`, `m.e\[0\]`, ``, `{m: {a.b/c: x}}`)
	written(t, `{m: null}`, `m.d`, `1`, `{m: {d: 1}}`)
	written(t, `{m: null}`, `m[-1]`, `1`, `{m: [1]}`)
	written(t, `{b: [{name: "n:x", v: 1}]}`, `b.[name:n\:x].v`, `2`, `{b: [{name: "n:x", v: 2}]}`)
	written(t, `{b: [{port: 80}, {port: 8080}]}`, `b.[port:8080].port`, `1234`, `{b: [{port: 80}, {port: 1234}]}`)
}

// written writes, and sees to it that what was there before is not changed.
func written(t *testing.T, node, path, value, want string) {
	t.Helper()
	steps, err := parsePath(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	before := anything(t, node)
	got, err := write(before, steps, anything(t, value))
	if err != nil {
		t.Errorf("%s: %s: %v", node, path, err)
		return
	}
	gotText, _ := yaml.Marshal(got)
	wantText, _ := yaml.Marshal(anything(t, want))
	if d := cmp.Diff(string(wantText), string(gotText)); d != "" {
		t.Errorf("%s: %s: %s: (-want +got)\n%s", node, path, value, d)
	}
	if d := cmp.Diff(anything(t, node), before); d != "" {
		t.Errorf("%s: %s changed what it was given: %s", node, path, d)
	}
}

func TestWrongPaths(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{``, `1`, "empty"},
		{`..`, `1`, "empty"},
		{`a.b.[name:n1`, `1`, "not closed"},
		{`a.b.name:n1]`, `1`, "not open"},
		{`a.b.[]`, `1`, "says no item"},
		{`a.b.[:]`, `1`, "says no item"},
		{`a.b.[0]x`, `1`, "a dot has to follow [0]"},
		{`a.b.[name:none].value`, `1`, "there is no item [name:none]"},
		{`a.b.[name:none]`, ``, "there is no item [name:none]"},
		{`a.b.[5]`, ``, "there is no item [5]: there are 2"},
		{`a.b.[-1]`, ``, "there is no item [-1]"},
		{`a.b.[(]`, `1`, "no regular expression"},
		{`a.b.name`, `1`, "no mapping"},
		{`a.d.e`, `1`, "no mapping"},
		{`a.d.[0]`, `1`, "no list"},
		{`a.[0]`, `1`, "no list"},
		{`a.new.[name:x].y`, `1`, "there is no item [name:x]"},
		{`a.none`, ``, errNothing.Error()},
		{`a.none.of.these`, ``, errNothing.Error()},
	} {
		steps, err := parsePath(c.path)
		if err == nil {
			_, err = write(anything(t, patched), steps, anything(t, c.value))
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

// FuzzWrite writes values at paths: it never panics, and what it wrote at a path of fields is read there.
func FuzzWrite(f *testing.F) {
	for _, path := range []string{`a.b.[name:n1].value`, `a.b[0]`, `a.b.[-1].x`, `a.b.[:v]`, `metadata.annotations.sidecar\.istio\.io/inject`, `a.[`, `a\`, `[[a]:b].c`, "\xff.[\xff]"} {
		f.Add(path, "x: 1", patched)
		f.Add(path, "", patched)
		f.Add(path, "[1, a]", "a: [[1]]")
	}
	f.Fuzz(func(t *testing.T, path, valueText, nodeText string) {
		steps, err := parsePath(path)
		if err != nil {
			return
		}
		var value, node any
		if yaml.Unmarshal([]byte(valueText), &value) != nil || yaml.Unmarshal([]byte(nodeText), &node) != nil {
			return
		}
		got, err := write(node, steps, value)
		if err != nil || value == nil {
			return
		}
		for _, s := range steps {
			if s.item {
				return
			}
			m, ok := got.(map[string]any)
			if !ok {
				t.Fatalf("%q of %q: %s is in no mapping", path, nodeText, s.text)
			}
			if got, ok = m[s.name]; !ok {
				t.Fatalf("%q of %q: nothing was written at %s", path, nodeText, s.text)
			}
		}
	})
}
