package manifests

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// A kind whose resource has another name than its definition would never be read of an API server.
func TestEveryKindThatIsReadIsDefined(t *testing.T) {
	definitions, err := Definitions()
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	for _, d := range definitions {
		defined[d.GetName()] = true
	}
	for kind, k := range kinds.OfIstio() {
		if name := kinds.Resource(kind) + "." + k.Group; !defined[name] {
			t.Errorf("%s is not defined as %s", kind, name)
		}
	}
}
