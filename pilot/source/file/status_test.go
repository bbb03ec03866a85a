package file

import (
	"testing"
	"time"

	metav1alpha1 "istio.io/api/meta/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestTheHealthOfAnEntryTellsWhoWroteIt reads what pilot/incluster has written: the replicas know by reason and time
// whether one of them still hears the machine.
func TestTheHealthOfAnEntryTellsWhoWroteIt(t *testing.T) {
	status, err := statusOf(model.KindWorkloadEntry, []byte(`{"conditions": [{"type": "Accepted", "status": "True"},
		{"type": "Healthy", "status": "False", "reason": "Heard", "message": "down", "lastProbeTime": "2026-11-29T10:00:00.123456789Z"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	all := status.(*metav1alpha1.IstioStatus).GetConditions()
	at := time.Date(2026, 11, 29, 10, 0, 0, 123456789, time.UTC)
	if len(all) != 1 || all[0].GetStatus() != "False" || all[0].GetReason() != model.ReasonHeard || !all[0].GetLastProbeTime().AsTime().Equal(at) {
		t.Errorf("read as %v", all)
	}
}
