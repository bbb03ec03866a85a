package debug

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// What a proxy refused is told of it, by type, with the object and the line where that stands; and what it keeps.
func TestSynczTellsWhatWasRefusedAndWhatIsKept(t *testing.T) {
	o := connected()
	all := o.Connections()
	want := model.Problem{
		Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "shop", Name: "f"}, Field: "spec.configPatches[0]", Severity: model.SeverityError,
		Reason: model.ReasonRejected, Message: "it was refused", Origin: model.Origin{File: "f.yaml", Line: 3},
	}
	all[1].Refusals = push.Refusals{resource.Listeners: {want}}
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all[0].Types[resource.Clusters].Kept = []xds.Kept{{Name: "c", Until: until}, {Name: "d"}}
	o.Connections = func() []xds.Connection { return all }
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:15014/debug/pilothouse/syncz", nil)
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	New(o).Monitoring().ServeHTTP(w, r)
	var got []ProxyStatus
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 2 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if of := got[1].Types["lds"].Refused; len(of) != 1 || of[0].Model() != want {
		t.Errorf("of the listeners is told %v", of)
	}
	if of := got[0].Types["cds"].Kept; !slices.Equal(of, []Kept{{"c", until}, {Name: "d"}}) {
		t.Errorf("kept is told as %v", of)
	}
	if of := got[1].Types["cds"].Refused; len(of) != 0 || len(got[0].Types["lds"].Refused) != 0 {
		t.Errorf("of what was not refused is told %v", got)
	}
}
