package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// The place of a rule that is kept while its file is refused is in the text that was read, not in the one that is there.
func TestPlacesInFormerTexts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.yaml")
	const text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n  rules:\n  - {}\n"
	writeFile(t, name, text)
	objects, _ := file.Decode([]byte(text), name)
	for asOf, want := range map[int64]string{0: "spec.rules[0], " + name + ":6", 1: "spec.rules[0], " + name + ":1 (as last read at "} {
		o := *objects[0]
		o.Origin.AsOf = asOf
		mesh := analyze.Running{Inventory: &inventory.Inventory{Objects: []*model.Object{&o}}, Read: file.Load}
		made, err := mesh.Translate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(made.Place(o.Key, "spec.rules[0]")).String(); !strings.HasPrefix(got, want) || asOf == 0 && got != want {
			t.Errorf("read at %d: %q, want %q", asOf, got, want)
		}
		p := o.ErrorAt("spec", model.ReasonInvalid, "is wrong")
		if got := p.String(); strings.Contains(got, ":1 (as last read at ") != (asOf != 0) {
			t.Errorf("read at %d: problem %q", asOf, got)
		}
	}
}
