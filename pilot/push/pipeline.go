package push

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Pipeline is the Translator of the product: resolve and endpoint decide, envoy puts it into
// Envoy's words. From commit to commit it keeps the parts that classes share and computes only
// what the changed rows concern.
type Pipeline struct {
	encoder  *encoder
	snapshot *store.Snapshot
	delta    store.Delta // from the snapshot before

	mu    sync.Mutex // guards parts while classes are translated concurrently
	parts map[string]*sharedPart
	keys  map[string]string // of parts, by class
}

// sharedPart is a part that is made by the first who needs it.
type sharedPart struct {
	*part
	once sync.Once // of the first update
	used bool
}

// NewPipeline gives a Pipeline without a state.
func NewPipeline() *Pipeline {
	return &Pipeline{encoder: newEncoder(), parts: map[string]*sharedPart{}, keys: map[string]string{}}
}

// Commit gives the step that brings the pipeline to a commit of the store.
func (p *Pipeline) Commit(c store.Commit) Commit {
	return Commit{Translator: step{p, c}, Since: c.Since}
}

// step is a Pipeline on its way to a commit.
type step struct {
	*Pipeline
	commit store.Commit
}

// Advance makes the commit the pipeline's state and brings the parts of the live classes up to it.
func (s step) Advance(ctx context.Context, live []*resolve.Class) (Work, error) {
	p := s.Pipeline
	p.delta = s.commit.Snapshot.DeltaSince(p.snapshot, s.commit)
	p.snapshot = s.commit.Snapshot
	p.encoder.advance()
	for _, c := range live {
		if shared := p.parts[p.keys[c.Key]]; shared != nil {
			shared.used = true
		}
	}
	var build errgroup.Group
	build.SetLimit(runtime.GOMAXPROCS(0))
	for key, shared := range p.parts {
		if !shared.used {
			delete(p.parts, key)
			continue
		}
		shared.used = false
		build.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			shared.update(p.snapshot, &p.delta)
			return nil
		})
	}
	p.dropKeys()
	if err := build.Wait(); err != nil {
		return Work{}, err
	}
	return p.work(), nil
}

// dropKeys forgets the classes whose part is gone.
func (p *Pipeline) dropKeys() {
	for class, key := range p.keys {
		if p.parts[key] == nil {
			delete(p.keys, class)
		}
	}
}

func (p *Pipeline) work() Work {
	w := Work{Parts: len(p.parts)}
	for _, shared := range p.parts {
		w.Computed += shared.computed
		w.Units += shared.units()
		if shared.changed {
			w.Changed++
		}
	}
	return w
}

// Classify finds the class of a proxy.
func (p *Pipeline) Classify(proxy *model.Proxy) resolve.Class {
	return resolve.Classify(p.snapshot, proxy)
}

// Moved tells whether a proxy's class may be another since the last step.
func (p *Pipeline) Moved(proxy *model.Proxy) bool {
	d := &p.delta
	if d.All || d.Classes.Has(proxy.Namespace) || proxy.Type == model.RouterProxy && d.Routers {
		return true
	}
	_, own := d.Pods[model.Key{Kind: model.KindPod, Namespace: proxy.Namespace, Name: proxy.Name}]
	return own
}

// shared gives the part that a class of sidecars uses.
func (p *Pipeline) shared(c *resolve.Class) *part {
	p.mu.Lock()
	key, ok := p.keys[c.Key]
	if !ok {
		key = c.Outbound().Key
		p.keys[c.Key] = key
	}
	s := p.parts[key]
	if s == nil {
		s = &sharedPart{part: newPart(c.Outbound(), p.encoder)}
		p.parts[key] = s
	}
	p.mu.Unlock()
	s.once.Do(func() {
		if s.layout == nil {
			s.update(p.snapshot, &store.Delta{All: true})
		}
	})
	return s.part
}

// Touched tells what of a class's draft may differ since the last step.
func (p *Pipeline) Touched(c *resolve.Class) (base, own bool) {
	d := &p.delta
	if c.Type == model.RouterProxy {
		return false, d.All || d.Routers || d.Lists.Has(c.Namespace) || len(d.Hosts)+len(d.Endpoints) > 0
	}
	shared := p.shared(c)
	_, scoped := d.Sidecars[c.Sidecar]
	own = d.All || scoped || shared.localChanged || d.Inbound.Has(c.Namespace) ||
		slices.ContainsFunc(c.Inbound, func(in resolve.InboundPort) bool { return d.Hosts[in.Host].Has(c.Namespace) })
	return shared.changed, own
}

// Base gives what a class shares with all that send alike.
func (p *Pipeline) Base(c *resolve.Class) Base {
	if c.Type == model.RouterProxy {
		return Base{}
	}
	shared := p.shared(c)
	return Base{Sets: shared.sets, Problems: shared.reported}
}

// Own gives what depends on more of a class than what it sends: for sidecars what they receive,
// and the load assignments in which their own locality counts; for routers everything.
func (p *Pipeline) Own(c *resolve.Class) Draft {
	if c.Type == model.RouterProxy {
		return translate(p.snapshot, c)
	}
	var d Draft
	clusters, problems := resolve.OwnClusters(p.snapshot, c)
	d.Problems = problems
	for _, cl := range clusters {
		d.add(Clusters, cl.Name, envoy.Cluster(cl))
	}
	inbound, problems := resolve.VirtualInbound(p.snapshot, c)
	d.Problems = append(d.Problems, problems...)
	shared := p.shared(c)
	for _, l := range []*ir.Listener{inbound, shared.layout.VirtualOutbound(p.snapshot)} {
		d.add(Listeners, l.Name, envoy.Listener(l))
	}
	for _, cl := range shared.local {
		if r, err := p.encoder.assignment(p.snapshot, c, cl); err == nil {
			d.Resources = append(d.Resources, r)
		} else {
			d.Problems = append(d.Problems, forbidden(Endpoints, cl.Name, err))
		}
	}
	return d
}
