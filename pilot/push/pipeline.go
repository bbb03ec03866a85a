package push

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Pipeline is the Translator of the product: resolve and endpoint decide, envoy puts it into
// Envoy's words. From commit to commit it keeps the products that classes share and computes only
// what the changed rows concern.
type Pipeline struct {
	encoder  *encoder
	snapshot *store.Snapshot
	delta    store.Delta // from the snapshot before
	alone    bool        // no product is put over another

	mu    sync.Mutex // guards both while classes are translated concurrently
	parts map[string]*shared
	keys  map[string]string // of parts, by class
}

// shared is a product that is made by the first who needs it.
type shared struct {
	builder
	below *shared // whose product is below it; nil for none
	made  sync.Once
	used  bool
}

// NewPipeline gives a Pipeline without a state.
func NewPipeline() *Pipeline {
	return &Pipeline{encoder: newEncoder(), parts: map[string]*shared{}, keys: map[string]string{}}
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

// Advance makes the commit the pipeline's state and brings the products of the live classes up to
// it: first those that are below others.
func (s step) Advance(ctx context.Context, live []*resolve.Class) (Work, error) {
	p := s.Pipeline
	p.delta = s.commit.Snapshot.DeltaSince(p.snapshot, s.commit)
	p.snapshot = s.commit.Snapshot
	p.encoder.advance()
	p.dropUnused(live)
	var below, over []*shared
	for _, part := range p.parts {
		if part.below == nil {
			below = append(below, part)
		} else {
			over = append(over, part)
		}
	}
	for _, parts := range [][]*shared{below, over} {
		if err := inParallel(ctx, parts, func(part *shared) { part.update(p.snapshot, &p.delta) }); err != nil {
			return Work{}, err
		}
	}
	return p.work(), nil
}

// dropUnused forgets the products that no live class uses, and their classes.
func (p *Pipeline) dropUnused(live []*resolve.Class) {
	for _, c := range live {
		if part := p.parts[p.keys[c.Key]]; part != nil {
			part.used = true
			if part.below != nil {
				part.below.used = true
			}
		}
	}
	for key, part := range p.parts {
		if !part.used {
			delete(p.parts, key)
		}
		part.used = false
	}
	for class, key := range p.keys {
		if p.parts[key] == nil {
			delete(p.keys, class)
		}
	}
}

func (p *Pipeline) work() Work {
	w := Work{Parts: len(p.parts)}
	for _, part := range p.parts {
		made := part.result()
		w.Computed += made.computed
		w.Units += part.units()
		if made.changed {
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

// part gives what a class uses, up to date.
func (p *Pipeline) part(c *resolve.Class) builder {
	p.mu.Lock()
	key, ok := p.keys[c.Key]
	if !ok {
		key = c.Outbound().Key
		p.keys[c.Key] = key
	}
	part := p.parts[key]
	if part == nil {
		part = p.plan(c.Outbound())
		p.parts[key] = part
	}
	p.mu.Unlock()
	p.make(part)
	return part
}

// plan says how a product is made: over what its class has in common with others, where that is
// something.
func (p *Pipeline) plan(c resolve.Class) *shared {
	common, ok := c.Common()
	if !ok || p.alone {
		return &shared{builder: newPart(c, p.encoder)}
	}
	below := p.parts[common.Key]
	if below == nil {
		below = &shared{builder: newPart(common, p.encoder)}
		p.parts[common.Key] = below
	}
	return &shared{builder: newOverlay(c, p.encoder, below.builder.(*part)), below: below}
}

// make brings a new product to the present state.
func (p *Pipeline) make(part *shared) {
	part.made.Do(func() {
		if part.below != nil {
			p.make(part.below)
		}
		if part.result().layout == nil {
			part.update(p.snapshot, &store.Delta{All: true})
		}
	})
}

// Touched tells what of a class's draft may differ since the last step.
func (p *Pipeline) Touched(c *resolve.Class) (base, own bool) {
	d := &p.delta
	base = p.part(c).result().changed
	if c.Type == model.RouterProxy {
		return base, d.All || d.Routers || d.Lists.Has(c.Namespace) || len(d.Hosts) > 0
	}
	_, scoped := d.Sidecars[c.Sidecar]
	own = d.All || scoped || d.Inbound.Has(c.Namespace) ||
		slices.ContainsFunc(c.Inbound, func(in resolve.InboundPort) bool { return d.Hosts[in.Host].Has(c.Namespace) })
	return base, own
}

// Base gives what a class shares with all that send alike.
func (p *Pipeline) Base(c *resolve.Class) Base {
	part := p.part(c)
	made := part.result()
	sets := made.sets
	sets[Endpoints] = part.endpoints(p.snapshot, c)
	return Base{Sets: sets, Problems: made.problems}
}

// Own gives what depends on more of a class than what it sends: for sidecars what they receive,
// for routers what their Gateways say.
func (p *Pipeline) Own(c *resolve.Class) Draft {
	d := drafter{encoder: p.encoder}
	service, ports := "", make([]byte, 0, 64) // of what clusters and listeners to the workload speak
	for _, in := range c.Inbound {
		service, ports = in.Host, strconv.AppendUint(append(ports, ' '), uint64(in.TargetPort), 10)
	}
	clusters, problems := resolve.OwnClusters(p.snapshot, c)
	d.Problems = problems
	for _, cl := range clusters {
		d.add(Clusters, cl.Name, service, cl, func() proto.Message { return envoy.Cluster(cl) })
	}
	var listeners []*ir.Listener
	if c.Type == model.RouterProxy {
		var routes []*ir.RouteConfig
		routes, problems = resolve.Routes(p.snapshot, c)
		for _, rc := range routes {
			d.add(Routes, rc.Name, "", rc, func() proto.Message { return envoy.RouteConfig(rc) })
		}
		d.Problems = append(d.Problems, problems...)
		listeners, problems = resolve.Listeners(p.snapshot, c)
	} else {
		var inbound *ir.Listener
		inbound, problems = resolve.VirtualInbound(p.snapshot, c)
		listeners = []*ir.Listener{inbound, p.part(c).result().layout.VirtualOutbound(p.snapshot)}
	}
	d.Problems = append(d.Problems, problems...)
	for _, l := range listeners {
		d.add(Listeners, l.Name, string(ports), l, func() proto.Message { return envoy.Listener(l) })
	}
	return d.Draft
}

// drafter makes a class's own draft.
type drafter struct {
	Draft
	encoder *encoder
}

// add takes the resource of an equal value that is in use, or makes it; what is forbidden is left
// to the engine as a message. variant tells classes apart whose resources have one name and differ.
func (d *drafter) add(t Type, name, variant string, value any, message func() proto.Message) {
	r, _, err := d.encoder.encode(t, name, variant, value, message)
	if err != nil {
		d.Messages = append(d.Messages, Message{t, name, message()})
		return
	}
	d.Resources = append(d.Resources, r)
}
