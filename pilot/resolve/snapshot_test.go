package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// read gives a snapshot of YAML documents, none of which may have a problem.
func read(t *testing.T, documents string) resolve.Reader {
	t.Helper()
	objects, problems := file.Decode([]byte(documents), "test.yaml")
	for _, p := range problems {
		t.Fatalf("the test's own YAML: %s", p)
	}
	return store.FromObjects(objects, store.Options{Domain: "cluster.local"}).Reader(nil)
}
