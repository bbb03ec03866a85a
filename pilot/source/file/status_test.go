package file

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1alpha1 "istio.io/api/meta/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestTheHealthOfAnEntryTellsWhoWroteIt reads what pilot/incluster has written: the replicas know by reason and time
// whether one of them still hears the machine. It is read as sources read, which leave out most of a status.
func TestTheHealthOfAnEntryTellsWhoWroteIt(t *testing.T) {
	objects, refused, problems := NewReader().JSON([]byte(`{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
		"metadata": {"name": "vm", "namespace": "a"}, "spec": {"address": "10.0.0.1"}, "status": {"conditions": [{"type": "Accepted", "status": "True"},
		{"type": "Healthy", "status": "False", "reason": "Heard", "message": "down", "lastProbeTime": "2026-11-29T10:00:00.123456789Z"}]}}`))
	if len(objects) != 1 || len(refused)+len(problems) > 0 {
		t.Fatal(objects, refused, problems)
	}
	all := objects[0].Status.(*metav1alpha1.IstioStatus).GetConditions()
	at := time.Date(2026, 11, 29, 10, 0, 0, 123456789, time.UTC)
	if len(all) != 1 || all[0].GetStatus() != "False" || all[0].GetReason() != model.ReasonHeard || !all[0].GetLastProbeTime().AsTime().Equal(at) {
		t.Errorf("read as %v", all)
	}
}

// TestAPodThatItsNodeRefusesIsAProblem reads such a pod as a control plane does.
func TestAPodThatItsNodeRefusesIsAProblem(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), `
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: team}, status: {phase: Failed, reason: UnexpectedAdmissionError, message: "hostPID is not offered"}}
`)
	_, problems := settled([]string{dir})
	if len(problems) != 1 || problems[0].Object.Name != "web" || !strings.Contains(problems[0].Message, "does not run it: hostPID is not offered") {
		t.Errorf("problems %v", problems)
	}
}
