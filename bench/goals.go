package bench

import (
	"fmt"
	"slices"
)

// Goal is one of the project's goals in figures, beside what was measured.
type Goal struct {
	ID     string `json:"id"`
	Series string `json:"series"`
	What   string `json:"what"`
	Unit   string `json:"unit"`
	// Got is nil where it was not measured.
	Got  *float64 `json:"got"`
	Most float64  `json:"most"`
	// Least turns it round: Got must not be below Most.
	Least bool `json:"least,omitempty"`
	Met   bool `json:"met"`
}

// Verdict says whether the goal is met, or by how much it is not.
func (g *Goal) Verdict() string {
	switch {
	case g.Got == nil:
		return "not measured"
	case g.Met:
		return "met"
	case g.Least:
		return fmt.Sprintf("NOT met: %s too few", g.figure(g.Most-*g.Got))
	case g.Most == 0:
		return "NOT met"
	}
	return fmt.Sprintf("NOT met: %.2f x the goal", *g.Got/g.Most)
}

func (g *Goal) measured() string {
	if g.Got == nil {
		return "-"
	}
	return g.figure(*g.Got)
}

func (g *Goal) wanted() string {
	if g.Least {
		return ">= " + g.figure(g.Most)
	}
	return "<= " + g.figure(g.Most)
}

func (g *Goal) figure(v float64) string {
	digits := 2
	switch {
	case v == float64(int64(v)), v >= 1000 || v <= -1000:
		digits = 0
	case v >= 100 || v <= -100:
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, g.Unit)
}

// aim is how a goal is read from a result; get tells false where the result does not say.
type aim struct {
	id, series, scenario, what, unit string
	most                             float64
	least                            bool
	get                              func(*Result) (float64, bool)
}

// goals compares what was measured with GOALS.md: P1 to P8, R6 and the size of the full state.
func goals(all []*Measured) []Goal {
	var out []Goal
	for _, a := range aims() {
		i := slices.IndexFunc(all, func(s *Measured) bool { return s.Options.Name == a.series })
		if i < 0 {
			continue
		}
		g := Goal{ID: a.id, Series: a.series, What: a.scenario + ": " + a.what, Unit: a.unit, Most: a.most, Least: a.least}
		if r := all[i].Result(a.scenario); r != nil {
			if got, ok := a.get(r); ok {
				g.Got = &got
				g.Met = got <= a.most && !a.least || got >= a.most && a.least
			}
		}
		out = append(out, g)
	}
	return out
}

// What is measured of several scenarios.
const (
	lastP50, lastP99 = "to the last client's ACK, p50", "to the last client's ACK, p99"
	eachP50, eachP99 = "to each client's ACK, over clients, p50", "to each client's ACK, over clients, p99"
	cpuTime          = "server's CPU time"
	liveMemory       = "live memory of a client"
	peakMemory       = "peak of the cgroup, for each client"
)

func aims() []aim {
	const all, scoped, many = "unscoped", "scoped", "scoped-10000" // names of series
	return []aim{
		{"P1", all, scenarioEndpoint, lastP50, "ms", 10, false, last50},
		{"P1", all, scenarioEndpoint, lastP99, "ms", 50, false, last99},
		{"P1", all, scenarioEndpoint, eachP50, "ms", 10, false, each50},
		{"P1", all, scenarioEndpoint, eachP99, "ms", 50, false, each99},
		{"P2", all, scenarioEndpoint, cpuTime, "x F", 1.5, false, ratio},
		{"P2", all, scenarioEndpoint, "bytes sent to bytes due", "x", 1.02, false, excess},
		{"P2", all, scenarioRouteAll, "bytes sent to bytes due", "x", 1.02, false, excess},
		{"P2", all, scenarioUninterested, "CPU time of a client that is not interested", "µs", 1, false, uninterested},
		{"P3", all, scenarioChurn, lastP99, "ms", 250, false, last99},
		{"P3", all, scenarioChurn, "changes overtaken by the next of their kind before all had acknowledged", "ACKs", 0, false, missing},
		{"P4", all, scenarioRouteOne, lastP99, "ms", 50, false, last99},
		{"P4", all, scenarioRuleOne, lastP99, "ms", 50, false, last99},
		{"P4", all, scenarioRouteAll, cpuTime, "x F", 1.5, false, ratio},
		{"P4", all, scenarioRuleAll, cpuTime, "x F", 1.5, false, ratio},
		{"P5", all, scenarioCold, cpuTime, "x F", 1.5, false, ratio},
		{"P5", all, scenarioCold, "full state of a client", "MB", 3.2, false, state},
		{"P6", all, scenarioRestart, "sent, of the full state", "%", 2, false, resent},
		{"P6", all, scenarioRestart, "all in sync after the server is ready", "s", 5, false, inSync},
		{"P6", all, scenarioRestart, "all in sync after the server's exec", "s", 5, false, inSyncFromExec},
		{"P7", all, scenarioCold, liveMemory, "KB", 150, false, perClient},
		{"P7", scoped, scenarioCold, liveMemory, "KB", 100, false, perClient},
		{"P7", many, scenarioCold, liveMemory, "KB", 100, false, perClient},
		{"P7", many, scenarioCold, peakMemory, "KB", 100, false, peakPerClient},
		{"P7", many, scenarioCold, "clients in sync", "clients", 10000, true, concerned},
		{"P8", all, scenarioTouch, "messages sent", "messages", 0, false, messages},
		{"P8", all, scenarioTouch, "allocations", "a second", 6000, false, allocations},
		{"R6", all, scenarioStalled, "the others' p99 over clients, to that without", "x", 1.1, false, stalledLatency},
		{"R6", all, scenarioStalled, "server's CPU time, to that without", "x", 1.1, false, stalledCPU},
	}
}

func last50(r *Result) (float64, bool) {
	return quantile(r.Last, func(q *Quantiles) float64 { return q.P50 })
}

func last99(r *Result) (float64, bool) {
	return quantile(r.Last, func(q *Quantiles) float64 { return q.P99 })
}

func each50(r *Result) (float64, bool) {
	return quantile(r.Each, func(q *Quantiles) float64 { return q.P50 })
}

func each99(r *Result) (float64, bool) {
	return quantile(r.Each, func(q *Quantiles) float64 { return q.P99 })
}

func quantile(q *Quantiles, get func(*Quantiles) float64) (float64, bool) {
	if q == nil {
		return 0, false
	}
	return get(q), true
}

func ratio(r *Result) (float64, bool)         { return r.Ratio(), r.FloorCPU > 0 }
func excess(r *Result) (float64, bool)        { return per(r.Down, r.Due), r.Due > 0 }
func missing(r *Result) (float64, bool)       { return float64(r.Missing), true }
func messages(r *Result) (float64, bool)      { return float64(r.Messages), true }
func concerned(r *Result) (float64, bool)     { return float64(r.Concerned), true }
func state(r *Result) (float64, bool)         { return r.State / 1e6, r.State > 0 }
func perClient(r *Result) (float64, bool)     { return r.PerClient / 1000, r.PerClient != 0 }
func peakPerClient(r *Result) (float64, bool) { return r.PeakPerClient / 1000, r.PeakPerClient != 0 }
func allocations(r *Result) (float64, bool)   { return per(r.Allocs, r.Making), r.Making > 0 }

func uninterested(r *Result) (float64, bool) {
	if r.Uninterested == nil {
		return 0, false
	}
	return *r.Uninterested, true
}

// resent leaves out the change that proved that everyone is in sync.
func resent(r *Result) (float64, bool) { return 100 * per(max(0, r.Down-r.Due), r.State), r.State > 0 }

func inSync(r *Result) (float64, bool) {
	if r.Last == nil || r.Missing > 0 {
		return 0, false
	}
	return r.Last.Max / 1000, true
}

func inSyncFromExec(r *Result) (float64, bool) {
	s, ok := inSync(r)
	return s + r.Ready, ok
}

func stalledLatency(r *Result) (float64, bool) {
	if r.Against == nil || r.Each == nil || r.Against.Each == nil {
		return 0, false
	}
	return per(r.Each.P99, r.Against.Each.P99), true
}

func stalledCPU(r *Result) (float64, bool) {
	if r.Against == nil {
		return 0, false
	}
	return per(r.ServerCPU, r.Against.ServerCPU), true
}
