package translate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// maxFullState is the goal, in bytes: what istiod sends a proxy of such a mesh that has no scope.
const maxFullState = 3_200_000

// Every byte is sent to every proxy: what is said once for each endpoint or cluster counts ten
// thousand times.
func TestFullStateIsSmall(t *testing.T) {
	dir := t.TempDir()
	m, err := mesh.New(mesh.Default(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(m.Dirs()[0], "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("the mesh has no files: %v", err)
	}
	var objects []*model.Object
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		read, _ := file.Decode(data, path) // problems are another test's matter
		objects = append(objects, read...)
	}
	w := m.Workload(0)
	p := Proxy{
		Name: w.Name, Namespace: w.Namespace, IPs: []string{w.Address.String()}, Labels: w.Labels, Locality: w.Region + "/" + w.Zone,
	}
	res, total := Build(Snapshot(objects), p.Model()), 0
	for name, typ := range map[string]resource.Type{
		"clusters": resource.Clusters, "endpoints": resource.Endpoints, "listeners": resource.Listeners, "routes": resource.Routes,
	} {
		n := 0
		for _, r := range res.ByType[name] {
			framed, err := resource.New(typ, r.Name, r.Body)
			if err != nil {
				t.Fatal(err)
			}
			n += len(framed.Frame(true))
		}
		t.Logf("%s: %d bytes in %d resources", name, n, len(res.ByType[name]))
		total += n
	}
	if total > maxFullState || total < maxFullState/2 {
		t.Errorf("the full state has %d bytes, want at most %d and not much less, or the mesh is another", total, maxFullState)
	}
}
