package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/apiserver"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// ClusterSeries is the name of the series that needs an API server.
const ClusterSeries = "cluster"

// clusterScenarios are those that an API server can be the source of. A service that is added, and a rollout,
// need the controllers that make slices, whose time is not ours to measure.
var clusterScenarios = []string{
	scenarioLoad, scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll, scenarioRuleOne,
	scenarioRuleAll, scenarioPolicy, scenarioUninterested, scenarioTouch, scenarioChurn, scenarioStalled, scenarioReconnect, scenarioRestart,
}

// Cluster is the mesh of the goals in an API server.
func Cluster() Options {
	o := Unscoped()
	o.Name, o.ColdClients, o.Repetitions, o.Storm = ClusterSeries, 1000, 20, 30*time.Second
	o.Scenarios = clusterScenarios[1:]
	return o
}

// clusterAims are those of the unscoped series. What events cost that concern nobody is counted beside
// informers, whose client decodes each of them as well.
func clusterAims() []aim {
	out := []aim{
		{"P7", ClusterSeries, scenarioLoad, "live memory without clients", "MB", 120, false, loadMegabytes},
		{"P8", ClusterSeries, scenarioTouch, "CPU time to that of bare informers", "x", 2, false, informersCPU},
		{"P8", ClusterSeries, scenarioTouch, "allocations above those of bare informers", "a second", 6000, false, informersAllocs},
	}
	for _, a := range unscopedAims() {
		if a.scenario != scenarioTouch || a.what == "messages sent" {
			a.series = ClusterSeries
			out = append(out, a)
		}
	}
	return out
}

func loadMegabytes(r *Result) (float64, bool) { return r.Live / 1e6, r.Live > 0 }

func informersCPU(r *Result) (float64, bool) {
	if r.Against == nil {
		return 0, false
	}
	return per(r.ServerCPU, r.Against.ServerCPU), true
}

func informersAllocs(r *Result) (float64, bool) {
	if r.Against == nil {
		return 0, false
	}
	return per(r.Allocs-r.Against.Allocs, r.Making), r.Making > 0
}

// write puts the mesh where the server reads it.
func (r *runner) write(ctx context.Context) error {
	if r.Kubeconfig == "" {
		return r.mesh.Write()
	}
	var err error
	if r.cluster, err = apiserver.Open(r.Kubeconfig); err != nil {
		return err
	}
	r.Log.Info("writing the mesh to the API server", "series", r.Name)
	return r.cluster.Write(ctx, r.mesh.Documents()...)
}

// from gives the flags that lead the server there.
func (r *runner) from() []string {
	if r.cluster != nil {
		return []string{"--kubeconfig", r.Kubeconfig, "--httpsAddr", ""}
	}
	var out []string
	for _, d := range r.mesh.Dirs() {
		out = append(out, "--configDir", d)
	}
	return out
}

// apply makes a change, and gives the moment from which on it is counted.
func (r *runner) apply(ctx context.Context, e mesh.Edit) (time.Time, error) {
	if r.cluster != nil {
		return r.cluster.Apply(ctx, e.Data)
	}
	return e.Apply()
}

// cleanCluster takes the mesh away, also when ctx has ended.
func (r *runner) cleanCluster(ctx context.Context) {
	if r.cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := r.cluster.Remove(ctx); err != nil {
		r.Log.Error("the mesh is not gone from the API server", "error", err)
	}
}

// noteWrites tells how long the API server took for the changes, which are counted from before their writes.
func (r *runner) noteWrites(result *Result) {
	if r.cluster == nil {
		return
	}
	if q := quantiles(r.cluster.Wrote()); q != nil {
		result.Notes = append(result.Notes, fmt.Sprintf("the API server's answer to a write came after %.1f ms (p50), %.1f ms (p99)", q.P50, q.P99))
	}
}
