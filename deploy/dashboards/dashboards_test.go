package dashboards

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards anew")

func TestFilesAreMadeFromTheTables(t *testing.T) {
	names := map[string]bool{}
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		name := d.Name + ".json"
		names[name] = true
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := fs.ReadFile(Files, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the tables say (%v): run with -update", name, err)
		}
	}
	files, err := fs.Glob(Files, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !names[f] {
			t.Errorf("%s is made from no table", f)
		}
	}
}
