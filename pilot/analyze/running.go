package analyze

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Running is a mesh that runs: what its control plane has, and the proxies that are connected to it.
type Running struct {
	*inventory.Inventory
	Proxies []model.Proxy
	// Read gives a file that objects of the mesh come from, for lines in it; nil where they are on another machine.
	Read func(name string) ([]byte, error)
}

// Translate makes what each connected proxy runs.
func (r *Running) Translate(ctx context.Context) (*Translation, error) {
	m := r.decoded(nil)
	m.apply(r.Objects)
	m.settle()
	return r.translated(ctx, m, r.Proxies, newDecoder())
}

// Compare makes what each connected proxy runs, and what it would run if files were applied as kubectl does: an
// object of the files takes the place of the one that the mesh has, of which it keeps what a cluster gives
// (addresses, status), and all others stay. What pods a Deployment or another controller of the files has get the
// labels of its template; where it has none yet, one pod is added. The error is ctx's.
func (r *Running) Compare(ctx context.Context, files []File) (before, after *Translation, err error) {
	now, next, renewed := r.applied(files)
	d := newDecoder()
	if before, err = r.translated(ctx, now, r.Proxies, d); err != nil {
		return nil, nil, err
	}
	after, err = r.translated(ctx, next, renewed, d)
	return before, after, err
}

// applied gives the mesh as it is and as it would be if files were applied, and the proxies that would be connected.
func (r *Running) applied(files []File) (now, next *mesh, renewed []model.Proxy) {
	now, next = r.decoded(nil), r.decoded(files)
	now.apply(r.Objects)
	own := keysOf(next.objects)
	changed := next.apply(r.Objects)
	again := reselected(now, next, own, changed)
	now.unslice(again)
	next.unslice(again)
	now.settle()
	next.settle()
	return now, next, renewedProxies(now, next, r.Proxies, changed)
}

// decoded has the objects of files, as the mesh reads them.
func (r *Running) decoded(files []File) *mesh {
	m := decoded(files)
	m.running, m.texts.read = true, r.Read
	m.domain, m.cluster = cmp.Or(r.Domain, m.domain), cmp.Or(r.Cluster, m.cluster)
	if r.Injection != nil {
		m.injectors = injectors{policies: []inject.Policy{*r.Injection}}
	}
	return m
}

// translated makes what connected proxies run, and those that the workloads of the files could have.
func (r *Running) translated(ctx context.Context, m *mesh, connected []model.Proxy, d *decoder) (*Translation, error) {
	out, err := m.translated(ctx, m.beside(connected), r.Settings, d)
	if err != nil {
		return nil, err
	}
	for i := range connected {
		out.Proxies[i].Pod = connected[i].Name
		out.Proxies[i].Name = m.workloadOf(&connected[i])
	}
	return out, nil
}

// renewedProxies gives the connected proxies as they would be beside their pods of next: without those of pods that
// lose theirs, and with new ones.
func renewedProxies(now, next *mesh, connected []model.Proxy, changed map[model.Key]podChange) []model.Proxy {
	var out []model.Proxy
	has := map[model.Key]bool{} // a proxy
	for _, p := range connected {
		at := resolve.WorkloadOf(now.reader, &p)
		if at.Pod == nil {
			out = append(out, p)
			continue
		}
		has[at.Pod.Key] = true
		c, ok := changed[at.Pod.Key]
		if ok && c.loses {
			continue
		}
		if ok {
			p = proving(p, c.next.Spec.(*model.Pod))
		}
		out = append(out, p)
	}
	for _, key := range slices.SortedFunc(maps.Keys(changed), model.Key.Compare) {
		if c := changed[key]; c.gains != "" && !has[key] {
			p := next.proxy(c.gains, key.Namespace, key.Name, c.next.Spec.(*model.Pod).IP, c.next.Labels)
			p.ClusterID = cmp.Or(key.Cluster, p.ClusterID)
			out = append(out, *p)
		}
	}
	return out
}

// proving gives a proxy as it would be in a renewed pod: it proves the pod's account, whatever the former one had.
func proving(p model.Proxy, pod *model.Pod) model.Proxy {
	p.ServiceAccount = pod.ServiceAccount
	if p.Proof != nil {
		proof := *p.Proof
		proof.ServiceAccount = pod.ServiceAccount
		p.Proof = &proof
	}
	return p
}

// workloadOf gives the name of what a connected proxy is a replica of, else its own.
func (m *mesh) workloadOf(p *model.Proxy) string {
	for _, cluster := range []string{"", p.ClusterID} {
		if o := m.reader.Pod(cluster, p.Namespace, p.Name); o != nil {
			return o.Spec.(*model.Pod).Workload
		}
	}
	return p.Name
}
