package translate

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// FuzzTranslate: whatever a user writes, nothing panics and every message that comes out of the
// whole translation is valid. Objects that validation refuses are left out, as sources do; translation relies on that.
func FuzzTranslate(f *testing.F) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	samples, err := filepath.Glob("../../samples/bookinfo/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range a.Files {
			if s.Name == "input.yaml" {
				f.Add(s.Data)
			}
		}
	}
	for _, name := range samples {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _, _ := file.Checked(kinds.DefaultNamespace, data, "fuzz.yaml", validate.Object)
		r := Snapshot(objects)
		for _, p := range askers(objects) {
			validateAll(t, Build(r, p))
		}
	})
}

// askers gives the proxies of the pods among the objects, a few at most, and one router that
// every Gateway with the usual selector selects.
func askers(objects []*model.Object) []*model.Proxy {
	router := (&Proxy{Name: "gateway", Namespace: "istio-system", Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}}).Model()
	client := (&Proxy{Name: "client", Namespace: "default", DNSCapture: true, Locality: "eu/a/b"}).Model()
	out := []*model.Proxy{router, client}
	for _, o := range objects {
		if o.Kind == model.KindPod && len(out) < 5 {
			out = append(out, (&Proxy{Name: o.Name, Namespace: o.Namespace, DNSCapture: true}).Model())
		}
	}
	return out
}
