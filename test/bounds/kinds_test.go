package bounds

import (
	"os"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// unbounded are kinds of Istio whose values are not varied here, with the reason.
func unbounded() map[model.Kind]string {
	return map[model.Kind]string{
		model.KindEnvoyFilter:   "what its patches say is Envoy's configuration, which Envoy may refuse; then the patch is taken back",
		model.KindProxyConfig:   "it is read at injection only",
		model.KindWorkloadGroup: "a machine that connects makes a WorkloadEntry of it, and those are varied",
	}
}

// Every kind of Istio's has an object to vary, or a reason why not.
func TestEveryKindIsVaried(t *testing.T) {
	for kind := range kinds.OfIstio() {
		_, err := os.Stat("testdata/" + strings.ToLower(string(kind)) + ".yaml")
		if why := unbounded()[kind]; (err == nil) == (why != "") {
			t.Errorf("%s: give it an object in testdata and a row in TestEnvoyTakesWhatValidationTakes, or a reason in unbounded (found: %v, reason: %q)", kind, err, why)
		}
	}
}
