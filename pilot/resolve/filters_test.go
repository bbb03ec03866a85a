package resolve

import (
	"reflect"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Where a filter stands follows from its phase and not from who asks for it when.
func TestHTTPFiltersAreInOrder(t *testing.T) {
	type first struct{ ir.HTTPFilter }
	type second struct{ ir.HTTPFilter }
	type late struct{ ir.HTTPFilter }
	got := httpFilters(nil,
		placedFilter{phaseDynamic, late{}}, clusterALPN(), placedFilter{phaseDeny, first{}}, placedFilter{phaseDeny, second{}},
	)
	want := []ir.HTTPFilter{first{}, second{}, ir.GRPCStats{}, ir.ClusterALPN{}, ir.FaultInjection{OnDemand: true}, ir.CrossOrigin{OnDemand: true}, late{}, ir.Router{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%T, want %T", got, want)
	}
}
