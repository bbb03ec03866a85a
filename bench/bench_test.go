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
	baseline, err := ReadBaseline(file)
	if err != nil {
		t.Fatal(err)
	}
	err = baseline.Check([]*Measured{{Options: Options{Name: "short"}, Errors: []string{"side: broke"}, Results: []*Result{
		{Name: "churn", Allocs: 101, Down: 9}, {Name: "idle", Messages: 1}, {Name: "fine", ServerCPU: 1.9, FloorCPU: 1},
	}}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"side: broke", "churn: allocations 101", "idle: 1 messages", "rollout: was not measured"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 3 {
		t.Errorf("%d lines more: %v", n, err)
	}
}

func TestABaselineAllowsWhatItWasMadeFromAndNotTwiceAsMuch(t *testing.T) {
	measured := func(times float64) []*Measured {
		each := 100 * times
		return []*Measured{{Options: Options{Name: "short"}, Results: []*Result{
			{Name: scenarioCold, Allocs: 1e5 * times, Down: 1e6, ServerCPU: 2, FloorCPU: 1},
			{Name: scenarioEndpoint, Allocs: 1e4, Down: 1e3 * times, ServerCPU: 2, FloorCPU: 1},
			{Name: scenarioChurn, Allocs: 1e6 * times},
			{Name: scenarioTouch, Allocs: 1e5, Messages: int64(times) - 1},
			{Name: scenarioRouteAll, Allocs: 1e4, Up: 1e3 * times},
			{Name: scenarioGatewayRules, UninterestedAllocs: &each, Stray: int64(times) - 1},
		}}}
	}
	b := NewBaseline(measured(1))
	if err := b.Check(measured(1)); err != nil {
		t.Error(err)
	}
	err := b.Check(measured(2))
	if err == nil || strings.Count(err.Error(), "\n") != 6 {
		t.Errorf("want seven errors: %v", err)
	}
}

// example is a report in which some goals are met and some are not.
func example() *Report {
	r := &Report{Machine: Machine{CPUs: 2}}
	r.Add(&Measured{Options: Unscoped(), Date: time.Unix(0, 0), Version: "v1", Results: []*Result{
		{
			Name: scenarioEndpoint, Clients: 1000, Concerned: 1000, Changes: 30, ServerCPU: 3, FloorCPU: 1, PeakRSS: 1 << 30,
			Last: &Quantiles{P50: 5, P99: 60}, Each: &Quantiles{P50: 3, P99: 12.5}, Down: 1000, Due: 1000,
		},
		{Name: scenarioTouch, Messages: 0, Allocs: 120000, Making: 10},
		{Name: scenarioRestart, Resent: 3, Ready: 1.5, Last: &Quantiles{Max: 750}},
		{Name: scenarioCold, Clients: 2000, PerClient: 90000, PeakPerClient: 200000},
	}})
	return r
}

func TestGoalsSayByHowMuchTheyAreMissed(t *testing.T) {
	got := map[string]string{}
	for _, g := range example().Goals {
		got[g.ID+" "+g.What] = g.measured() + "; " + g.Verdict()
	}
	for what, want := range map[string]string{
		"P1 one endpoint: to the last client's ACK, p50":                    "5 ms; met",
		"P1 one endpoint: to the last client's ACK, p99":                    "60 ms; NOT met: 1.50 x the goal",
		"P1 one endpoint: to each client's ACK, over clients, p99":          "12.50 ms; met",
		"P2 one endpoint: server's CPU time":                                "3 x F; NOT met: 2.50 x the goal",
		"P2 one endpoint: bytes sent to bytes due":                          "1 x; met",
		"P8 irrelevant events: messages sent":                               "0 messages; met",
		"P8 irrelevant events: allocations":                                 "12000 a second; NOT met: 2.00 x the goal",
		"P6 server restart: " + sentState:                                   "3 messages; NOT met",
		"P6 server restart: all in sync after the server's exec":            "2.25 s; NOT met: 1.50 x the goal",
		"P7 cold start: live memory of a client":                            "90 KB; NOT met: 1.80 x the goal",
		"R6 stalled readers: server's CPU time, to that without":            "-; not measured",
		"P2 uninterested: CPU time of a client that is not interested":      "-; not measured",
		"P3 churn: to the last client's ACK, p99":                           "-; not measured",
		"P2 route, all: bytes sent to bytes due":                            "-; not measured",
		"R6 stalled readers: the others' p99 over clients, to that without": "-; not measured",
	} {
		if got[what] != want {
			t.Errorf("%s: %q, want %q", what, got[what], want)
		}
	}
}

func TestASavedReportKeepsOtherSeries(t *testing.T) {
	dir := t.TempDir()
	if err := example().Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Add(&Measured{Options: Scoped(), Results: []*Result{{Name: scenarioIdle}}, Errors: []string{"churn: broke"}})
	if err := again.Save(dir); err != nil {
		t.Fatal(err)
	}
	if again, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if len(again.Series) != 2 || again.Series[0].Result(scenarioEndpoint) == nil || again.Series[1].Result(scenarioIdle) == nil {
		t.Errorf("%d series", len(again.Series))
	}
	for name, want := range map[string]string{
		"latest.json": scenarioEndpoint, "unscoped-latency.svg": scenarioEndpoint, "unscoped-cpu.svg": scenarioEndpoint,
		"memory.svg": "unscoped (2000)", "goals.md": "churn: broke",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v: does not show %q", name, err, want)
		}
	}
	for _, got := range []float64{1.2, 1.04} {
		again.SetBeside("data plane", []Goal{{ID: "P13", What: "CPU", Unit: "x F", Got: &got, Most: 1.05}})
		if err := again.Save(dir); err != nil {
			t.Fatal(err)
		}
		if again, err = Open(dir); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "goals.md"))
	if err != nil || strings.Count(string(page), "data plane") != 1 || !strings.Contains(string(page), "| P13 | data plane | CPU | 1.04 x F | <= 1.05 x F | met |") || len(again.Beside) != 1 {
		t.Errorf("%v: what others measured is not there once:\n%s", err, page)
	}
	var table strings.Builder
	if err := again.Table(&table); err != nil || !strings.Contains(table.String(), "60.0") || !strings.Contains(table.String(), "NOT met: 1.50") {
		t.Errorf("%v: %s", err, table.String())
	}
}

func TestTheMiddleOfTurns(t *testing.T) {
	var turns []*Result
	for _, n := range []float64{5, 1, 9, 3, 100} {
		turns = append(turns, &Result{ServerCPU: n, Each: &Quantiles{P99: 2 * n, Count: 10}, Changes: 2})
	}
	if m := middle("x", turns); m.ServerCPU != 25 || m.Each.P99 != 10 || m.Each.Count != 50 || m.Changes != 10 {
		t.Errorf("%+v %+v", m, m.Each)
	}
}
