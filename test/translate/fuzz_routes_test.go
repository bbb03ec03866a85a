package translate

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// FuzzVirtualService: whatever message a VirtualService is, also one that no YAML could write, validation refuses it,
// or the routes and listeners that follow from it are valid, for a sidecar and for a gateway.
func FuzzVirtualService(f *testing.F) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range txtar.Parse(data).Files {
			if s.Name != "input.yaml" {
				continue
			}
			objects, _ := file.Decode(s.Data, s.Name)
			for _, o := range objects {
				if vs, ok := o.Spec.(*networking.VirtualService); ok {
					wire, err := proto.Marshal(vs)
					if err != nil {
						f.Fatal(err)
					}
					f.Add(wire)
				}
			}
		}
	}
	base, problems := file.Decode([]byte(routedYAML), "base.yaml")
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	gateway := &model.Object{
		Key: model.Key{Kind: model.KindGateway, Namespace: "default", Name: "gw"},
		Spec: &networking.Gateway{Selector: map[string]string{"istio": "ingressgateway"}, Servers: []*networking.Server{
			{Port: &networking.Port{Number: 80, Protocol: "HTTP"}, Hosts: []string{"*"}},
		}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vs := &networking.VirtualService{}
		if proto.Unmarshal(data, vs) != nil {
			return
		}
		vs.Gateways = append(vs.Gateways, "mesh", "gw")
		o := &model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "fuzz"}, Spec: vs}
		if refused(o) {
			return
		}
		r := Snapshot(append([]*model.Object{gateway, o}, base[:2]...))
		for _, p := range askers(nil) {
			validateAll(t, Build(r, p))
		}
	})
}
