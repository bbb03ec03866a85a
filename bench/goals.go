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

func (g *Goal) judge(got float64) {
	g.Got = &got
	g.Met = got <= g.Most && !g.Least || got >= g.Most && g.Least
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

// goals compares what was measured with GOALS.md: P1 to P9, P11, P12, R6, and the size of the full
// state.
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
				g.judge(got)
			}
		}
		out = append(out, g)
	}
	return append(out, growth(all)...)
}

// What is measured of several scenarios.
const (
	lastP50, lastP99 = "to the last client's ACK, p50", "to the last client's ACK, p99"
	eachP50, eachP99 = "to each client's ACK, over clients, p50", "to each client's ACK, over clients, p99"
	cpuTime          = "server's CPU time"
	bystanderCPU     = "CPU time of a client that is not interested"
	bystanderSent    = "sent to clients that are not interested"
	sentToDue        = "bytes sent to bytes due"
	sentState        = "sent besides the change that proves that all are in sync"
	liveMemory       = "live memory of a client"
	peakMemory       = "peak of the cgroup, for each client"
)

func aims() []aim {
	return slices.Concat(unscopedAims(), scopedAims(), gatewayAims(), breadthAims(), breadthGatewayAims(), certificateAims(), clusterAims())
}

func unscopedAims() []aim {
	const all = "unscoped" // the series
	return []aim{
		{"P1", all, scenarioEndpoint, lastP50, "ms", 10, false, last50},
		{"P1", all, scenarioEndpoint, lastP99, "ms", 40, false, last99},
		{"P1", all, scenarioEndpoint, eachP50, "ms", 10, false, each50},
		{"P1", all, scenarioEndpoint, eachP99, "ms", 40, false, each99},
		{"P2", all, scenarioEndpoint, cpuTime, "x F", 1.2, false, ratio},
		{"P2", all, scenarioEndpoint, sentToDue, "x", 1.02, false, excess},
		{"P2", all, scenarioRouteAll, sentToDue, "x", 1.02, false, excess},
		{"P2", all, scenarioUninterested, bystanderCPU, "µs", 1, false, uninterested},
		{"P2", all, scenarioUninterested, bystanderSent, "messages", 0, false, stray},
		{"P3", all, scenarioChurn, lastP99, "ms", 150, false, last99},
		{"P3", all, scenarioChurn, "changes overtaken by the next of their kind before all had acknowledged", "ACKs", 0, false, missing},
		{"P4", all, scenarioRouteOne, lastP99, "ms", 40, false, last99},
		{"P4", all, scenarioRuleOne, lastP99, "ms", 40, false, last99},
		{"P4", all, scenarioPolicy, lastP99, "ms", 40, false, last99},
		{"P4", all, scenarioPolicyWorkload, lastP99, "ms", 40, false, last99},
		{"P4", all, scenarioPolicyWorkload, bystanderSent, "messages", 0, false, stray},
		{"P4", all, scenarioRouteAll, cpuTime, "x F", 1.3, false, ratio},
		{"P4", all, scenarioRuleAll, cpuTime, "x F", 1.3, false, ratio},
		{"P5", all, scenarioCold, cpuTime, "x F", 1, false, ratio},
		{"P5", all, scenarioCold, "full state of a client", "MB", 3.2, false, state},
		{"P6", all, scenarioRestart, sentState, "messages", 0, false, resent},
		{"P6", all, scenarioRestart, "all in sync after the server's exec", "s", 1.5, false, inSyncFromExec},
		{"P7", all, scenarioCold, liveMemory, "KB", 50, false, perClient},
		{"P8", all, scenarioTouch, "messages sent", "messages", 0, false, messages},
		{"P8", all, scenarioTouch, "allocations", "a second", 6000, false, allocations},
		{"R6", all, scenarioStalled, "the others' p99 over clients, to that without", "x", 1.1, false, stalledLatency},
		{"R6", all, scenarioStalled, "server's CPU time, to that without", "x", 1.1, false, stalledCPU},
	}
}

func scopedAims() []aim {
	const scoped, many, large, classes = "scoped", "scoped-10000", "large", "classes"
	return []aim{
		{"P6", scoped, scenarioRestart, sentState, "messages", 0, false, resent},
		{"P7", scoped, scenarioCold, liveMemory, "KB", 50, false, perClient},
		{"P7", many, scenarioCold, liveMemory, "KB", 50, false, perClient},
		{"P7", many, scenarioCold, peakMemory, "KB", 50, false, peakPerClient},
		{"P7", many, scenarioCold, "clients in sync", "clients", 10000, true, concerned},
		{"P1", classes, scenarioEndpoint, lastP50, "ms", 10, false, last50},
		{"P1", classes, scenarioEndpoint, lastP99, "ms", 40, false, last99},
		{"P2", classes, scenarioEndpoint, cpuTime, "x F", 1.2, false, ratio},
		{"P11", large, scenarioLoad, "server's CPU time until it is ready", "s", 4, false, loadCPU},
		{"P11", large, scenarioLoad, "live memory without clients", "MiB", 350, false, loadLive},
		{"P11", large, scenarioEndpoint, lastP50, "ms", 5, false, last50},
		{"P11", large, scenarioRouteOne, lastP99, "ms", 30, false, last99},
	}
}

// gatewayAims are P12, "all of the above" for gateways.
func gatewayAims() []aim {
	const series = "gateways"
	return []aim{
		{"P2", series, scenarioGatewayRules, bystanderCPU, "µs", 1, false, uninterested},
		{"P2", series, scenarioGatewayRules, bystanderSent, "messages", 0, false, stray},
		{"P2", series, scenarioEndpoint, cpuTime, "x F", 1.2, false, ratio},
		{"P12", series, scenarioGatewayRoute, lastP99, "ms", 40, false, last99},
		{"P12", series, scenarioGatewayRoute, bystanderSent, "messages", 0, false, stray},
		{"P12", series, scenarioGatewayRoute, sentToDue, "x", 1.02, false, excess},
		{"P12", series, scenarioCold, cpuTime, "x F", 1, false, ratio},
		{"P12", series, scenarioTouch, "messages sent", "messages", 0, false, messages},
		{"P6", series, scenarioRestart, sentState, "messages", 0, false, resent},
		{"P7", series, scenarioCold, liveMemory, "KB", 50, false, perClient},
	}
}

// breadthAims are P12, "all of the above" with external services, policies and EnvoyFilters. The size
// of the full state is none of them, since it is of a mesh without external services.
func breadthAims() []aim {
	const series = "breadth"
	out := []aim{
		{"P1", series, scenarioEndpoint, lastP50, "ms", 10, false, last50},
		{"P1", series, scenarioEndpoint, lastP99, "ms", 40, false, last99},
		{"P2", series, scenarioEndpoint, cpuTime, "x F", 1.2, false, ratio},
		{"P2", series, scenarioEndpoint, sentToDue, "x", 1.02, false, excess},
		{"P2", series, scenarioUninterested, bystanderCPU, "µs", 1, false, uninterested},
		{"P2", series, scenarioUninterested, bystanderSent, "messages", 0, false, stray},
		{"P4", series, scenarioRouteOne, lastP99, "ms", 40, false, last99},
		{"P4", series, scenarioRuleOne, lastP99, "ms", 40, false, last99},
		{"P4", series, scenarioPolicy, lastP99, "ms", 40, false, last99},
		{"P4", series, scenarioPolicyAll, cpuTime, "x F", 1.3, false, ratio},
		{"P5", series, scenarioCold, cpuTime, "x F", 1, false, ratio},
		{"P6", series, scenarioRestart, sentState, "messages", 0, false, resent},
		{"P6", series, scenarioRestart, "all in sync after the server's exec", "s", 1.5, false, inSyncFromExec},
		{"P7", series, scenarioCold, liveMemory, "KB", 50, false, perClient},
		{"P8", series, scenarioTouch, "messages sent", "messages", 0, false, messages},
		{"P8", series, scenarioTouch, "allocations", "a second", 6000, false, allocations},
	}
	for _, one := range []string{scenarioPolicyWorkload, scenarioFilterWorkload, scenarioFilterOne, scenarioExternal} {
		out = append(out, aim{"P12", series, one, lastP99, "ms", 40, false, last99},
			aim{"P12", series, one, bystanderSent, "messages", 0, false, stray})
	}
	return out
}

// breadthGatewayAims are those for gateways that terminate TLS. Their clients come over TLS as well,
// whose buffers are in the memory of a client.
func breadthGatewayAims() []aim {
	const series = "breadth-gateways"
	out := []aim{
		{"P2", series, scenarioEndpoint, cpuTime, "x F", 1.2, false, ratio},
		{"P2", series, scenarioGatewayRules, bystanderCPU, "µs", 1, false, uninterested},
		{"P2", series, scenarioGatewayRules, bystanderSent, "messages", 0, false, stray},
		{"P5", series, scenarioCold, cpuTime, "x F", 1, false, ratio},
		{"P6", series, scenarioRestart, sentState, "messages", 0, false, resent},
		{"P7", series, scenarioCold, liveMemory, "KB", 50, false, perClient},
		{"P8", series, scenarioTouch, "messages sent", "messages", 0, false, messages},
		{"P8", series, scenarioTouch, "allocations", "a second", 6000, false, allocations},
	}
	for _, one := range []string{scenarioGatewayRoute, scenarioSecret} {
		out = append(out, aim{"P12", series, one, lastP99, "ms", 40, false, last99},
			aim{"P12", series, one, bystanderSent, "messages", 0, false, stray},
			aim{"P12", series, one, sentToDue, "x", 1.02, false, excess})
	}
	return out
}

// certificateAims are P9. F is bare P-256 there: 60 % of its rate are 1.67 times its time.
func certificateAims() []aim {
	const series = "certificates"
	return []aim{
		{"P9", series, scenarioCertificates, "rate of a processor, to that of bare P-256", "%", 60, true, bareShare},
		{"P9", series, scenarioCertificateRate, "from when it was due to its arrival, p99", "ms", 20, false, each99},
	}
}

func bareShare(r *Result) (float64, bool) { return 100 * per(r.FloorCPU, r.ServerCPU), r.FloorCPU > 0 }

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

func stray(r *Result) (float64, bool) { return float64(r.Stray), true }

func resent(r *Result) (float64, bool) { return float64(r.Resent), true }

func loadCPU(r *Result) (float64, bool)  { return r.ServerCPU, true }
func loadLive(r *Result) (float64, bool) { return r.Live / (1 << 20), r.Live > 0 }

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
