package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	var ds []time.Duration
	for i := 200; i > 0; i-- {
		ds = append(ds, time.Duration(i)*time.Millisecond)
	}
	if q := quantiles(ds); q.P50 != 100 || q.P99 != 198 || q.Max != 200 || q.Count != 200 {
		t.Errorf("got %+v", *q)
	}
	if quantiles(nil) != nil {
		t.Error("quantiles of nothing")
	}
}

func TestABaselineNamesAllThatIsBeyondIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	text := `{"short": {"churn": {"allocs": 100, "downBytes": 10}, "idle": {"silent": true}, "rollout": {"ratio": 3}, "fine": {"ratio": 2}}}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Report{Series: []*Series{{Options: Options{Name: "short"}, Results: []*Result{
		{Name: "churn", Allocs: 101, Down: 9}, {Name: "idle", Messages: 1}, {Name: "fine", ServerCPU: 1.9, FloorCPU: 1},
	}}}}
	err := r.Check(file)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"churn: allocations 101", "idle: 1 messages", "rollout: was not measured"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 2 {
		t.Errorf("%d lines more: %v", n, err)
	}
}

func TestThePlotsAndTheTableShowEachScenario(t *testing.T) {
	r := &Report{Date: time.Unix(0, 0), Series: []*Series{{Options: Full(), Results: []*Result{
		{Name: scenarioEndpoint, Clients: 1000, Last: &Quantiles{P50: 5, P99: 12}, ServerCPU: 3, FloorCPU: 1, PeakRSS: 1 << 30},
	}}}}
	dir := t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"latest.json", "unscoped-latency.svg", "unscoped-cpu.svg", "unscoped-memory.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), scenarioEndpoint) {
			t.Errorf("%s: %v: does not show the scenario", name, err)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil || !strings.Contains(table.String(), "12.0") {
		t.Errorf("%v: %s", err, table.String())
	}
}
