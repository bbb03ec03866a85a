package proxystatus

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
)

func TestTable(t *testing.T) {
	all, err := Parse([]byte(`[
	 {"proxy":"b.default","cluster":"Kubernetes","istiod":"istiod-1","version":"1.30.0","types":{
	   "cds":{"state":"SYNCED","ageSeconds":125},"lds":{"state":"STALE","ageSeconds":1},"eds":{"state":"NOT SENT"},
	   "rds":{"state":"ERROR","ageSeconds":4000,"error":"no such cluster"}}},
	 {"proxy":"a.default","cluster":"Kubernetes","istiod":"istiod-1","types":{}}]`))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, all); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"NAME CLUSTER CDS LDS EDS RDS ISTIOD VERSION",
		"a.default Kubernetes IGNORED IGNORED IGNORED IGNORED istiod-1 -",
		"b.default Kubernetes SYNCED (2m5s) STALE (1s) NOT SENT ERROR (66m) istiod-1 1.30.0",
		"", "refused by b.default RDS: no such cluster", "",
	}
	for i, l := range strings.Split(out.String(), "\n") {
		if strings.Join(strings.Fields(l), " ") != want[i] {
			t.Errorf("line %d: %q, want %q", i, l, want[i])
		}
	}
	if _, err := Parse([]byte("not connected")); err == nil {
		t.Error("an answer that is no JSON is accepted")
	}
}

func dump(t *testing.T, cluster string) *proxyconfig.Dump {
	t.Helper()
	d, err := proxyconfig.ParseDump([]byte(`{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":[{"cluster":` + cluster + `}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompareIgnoresTheOrderOfFieldsOnly(t *testing.T) {
	compared := func(a, b *proxyconfig.Dump) (string, []Part) {
		parts, err := Compare(a, b, Proxy{})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := PrintParts(&out, parts); err != nil {
			t.Fatal(err)
		}
		return out.String(), parts
	}
	a, b := dump(t, `{"name":"c","type":"EDS","lb":{"x":1,"y":2}}`), dump(t, `{"lb":{"y":2,"x":1},"type":"EDS","name":"c"}`)
	if text, parts := compared(a, b); !Same(parts) || !strings.Contains(text, "Clusters Match") {
		t.Errorf("%v\n%s", parts, text)
	}
	c := dump(t, `{"name":"c","type":"STATIC","lb":{"x":1,"y":2}}`)
	text, parts := compared(a, c)
	if Same(parts) || parts[0].Match || !parts[1].Match || !strings.Contains(parts[0].Difference, `-  "type": "EDS"`) {
		t.Fatalf("%+v", parts)
	}
	for _, want := range []string{"Clusters Don't Match", `-  "type": "EDS"`, `+  "type": "STATIC"`, "Listeners Match", "Routes Match"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// A cluster whose removal waits is no difference, and is told; one of which the control plane does not say so is one.
func TestWhatIsKeptIsNoDifference(t *testing.T) {
	all, err := Parse([]byte(`[{"proxy":"a.default","types":{"cds":{"state":"SYNCED","kept":[{"name":"c"},{"name":"gone"}]}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"c": "Clusters Match\n  kept until the proxy has its listeners and routes without it, as connections may still use it: c\n",
		"d": "Clusters Don't Match\n",
	} {
		parts, err := Compare(&proxyconfig.Dump{}, dump(t, `{"name":"`+name+`"}`), all[0])
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := PrintParts(&out, parts); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(out.String(), want) || Same(parts) != (name == "c") {
			t.Errorf("of %s is said\n%s", name, &out)
		}
	}
}

// What a proxy refused is told of the type that it is of, by object and line, also where all else matches.
func TestWhatWasRefusedIsTold(t *testing.T) {
	all, err := Parse([]byte(`[{"proxy":"a.default","types":{"cds":{"state":"SYNCED"},
	  "lds":{"state":"ERROR","error":"Proto constraint","refused":[{"kind":"EnvoyFilter","namespace":"default","name":"f","field":"spec.configPatches[0]",
	    "message":"proxy a.default refused filter chain \"x\", which denies everything","file":"f.yaml","line":3}]},
	  "ecds":{"state":"ERROR","refused":[{"kind":"EnvoyFilter","namespace":"default","name":"g","message":"no"}]}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	const reason = `f.yaml:3: EnvoyFilter/default/f spec.configPatches[0]: proxy a.default refused filter chain "x", which denies everything`
	var list, one bytes.Buffer
	if err := Print(&list, all); err != nil {
		t.Fatal(err)
	}
	if want := "\nrefused by a.default LDS: " + reason + "\n"; !strings.HasSuffix(list.String(), want) || strings.Contains(list.String(), "Proto constraint") {
		t.Errorf("the list says\n%s", &list)
	}
	parts := Refused([]Part{{Type: "Clusters", Match: true}, {Type: "Listeners", Match: true}, {Type: "Routes", Match: true}}, all[0])
	if err := PrintParts(&one, parts); err != nil {
		t.Fatal(err)
	}
	want := "Clusters Match\nListeners Match\n  refused: " + reason + "\nRoutes Match\necds are not compared\n  refused: EnvoyFilter/default/g: no\n"
	if one.String() != want || Whole(parts) || !Whole(parts[:1]) {
		t.Errorf("of the proxy is said\n%s", &one)
	}
	if got := all[0].Refused(); len(got) != 2 || got[1].Origin.Line != 3 {
		t.Errorf("refused is %v", got)
	}
}

// TestNamesOfStrangers has a proxy whose name and error hold what would write lines of their own.
func TestNamesOfStrangers(t *testing.T) {
	hostile := "x\x1b[2J\nFORGED SYNCED.default\u202e\xff"
	var out bytes.Buffer
	proxy := Proxy{
		Name: hostile, Cluster: hostile, Istiod: hostile, Version: hostile,
		Types: map[string]Type{"cds": {State: "ERROR", Error: "a\nb\x07"}},
	}
	if err := Print(&out, []Proxy{proxy}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4 || strings.ContainsAny(out.String(), "\x1b\x07\u202e") || !utf8.Valid(out.Bytes()) || !strings.Contains(lines[3], `a\nb\a`) {
		t.Errorf("%d lines: %q", len(lines), out.String())
	}
}
