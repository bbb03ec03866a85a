// Package machine brings what agents of machines say of their applications' health to the WorkloadEntries that
// the machines are, and makes these entries for the machines that name a WorkloadGroup. It stands between the
// sources and the store. Without a cluster it puts condition and entries into what it hands on. In a cluster
// they are written to the API server, from where the source has them, as all other control planes do.
package machine

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	// grace is how long what a machine said holds after its stream has ended: it may be on its way back.
	// Istio's PILOT_WORKLOAD_ENTRY_GRACE_PERIOD has the same default.
	grace = 10 * time.Second
	// round is the least time between two changes of an entry's health, so that one that changes its mind all the
	// time costs little.
	round = time.Second
)

// Status is what becomes of an entry's health.
type Status struct {
	Healthy bool
	Message string    // what is wrong
	Probed  time.Time // when it was said
}

// Change is one of an entry's health that is to be brought on.
type Change struct {
	Key    model.Key
	Status *Status // nil to take it away
	// Since is when what is there was said. What is of another time is neither taken away nor asked for.
	Since time.Time
	// Ask leaves the health as it is, and asks whether a replica hears the machine.
	Ask bool
	// Registration is not of the health, but of the entry itself; nil for none.
	Registration *Registration
	// turns tells that it brings the machine into service or out of it.
	turns bool
}

// Write writes a change to an object, or to its status.
type Write func(ctx context.Context, c Change) error

// Options of a Registry.
type Options struct {
	Write  Write // nil where there is no cluster
	Logger *slog.Logger
	// Name of this replica, which is in the entries of the machines that it hears.
	Name string
	// Grace is how long what a machine said, and its registration, hold after its stream has ended; 0 for 10 s, as
	// Istio's PILOT_WORKLOAD_ENTRY_GRACE_PERIOD.
	Grace time.Duration
	// Unregistered turns off that machines are registered by WorkloadGroups.
	Unregistered bool
	// Report takes the present problems of machines that are not registered; nil for none.
	Report func([]model.Problem)
}

// Registry knows the WorkloadEntries of one source, and what is said of them. It implements model.Sink.
type Registry struct {
	to   model.Sink
	opts Options
	wake chan struct{}

	mu       sync.Mutex
	source   string // of the last delivery
	problems []model.Problem
	entries  map[string]map[string]*entry  // that are probed, by namespace and name
	probed   map[place]map[*entry]struct{} // the same by where they are
	speakers map[string]*speaker           // by stream
	heard    map[place]map[*speaker]struct{}
	order    uint64 // of the last stream that came

	synced      bool
	groups      map[model.Key]*group
	joined      map[string]*member              // by stream
	connections map[string]map[*member]struct{} // the same by connection
	held        map[string]*registration        // by the connection that it came by
	registered  map[model.Key]*registration
	found       map[model.Key]*model.Object // all entries of the source
	refusals    map[refusal]refused
	told        []model.Problem
}

// entry is a WorkloadEntry that is probed.
type entry struct {
	object *model.Object // as the source has it
	shown  *model.Object // as the store has it
	stream string        // that speaks for it; "" after it ended and for none
	status *Status       // nil for nothing said
	until  time.Time     // when the status is forgotten; zero while the stream lasts
	dirty  bool          // the status is not brought on yet
	since  time.Time     // Probed of the last that was brought on
	well   bool          // that it was good
	other  told          // the condition that another replica has written
	look   time.Time     // when to look after that; zero for never
}

// New gives a Registry in front of a sink.
func New(to model.Sink, opts Options) *Registry {
	opts.Grace = cmp.Or(opts.Grace, grace)
	if opts.Report == nil {
		opts.Report = func([]model.Problem) {}
	}
	return &Registry{
		to: to, opts: opts, wake: make(chan struct{}, 1),
		entries: map[string]map[string]*entry{}, probed: map[place]map[*entry]struct{}{},
		speakers: map[string]*speaker{}, heard: map[place]map[*speaker]struct{}{},
		groups: map[model.Key]*group{}, joined: map[string]*member{}, connections: map[string]map[*member]struct{}{},
		held: map[string]*registration{}, registered: map[model.Key]*registration{}, found: map[model.Key]*model.Object{}, refusals: map[refusal]refused{},
	}
}

// Synced hands on.
func (g *Registry) Synced(source string) {
	g.mu.Lock()
	g.synced = true
	g.mu.Unlock()
	g.to.Synced(source)
}

// Apply takes what a source delivers, and hands it on with what was said of the entries in it.
func (g *Registry) Apply(source string, events []model.Event, problems []model.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.source, g.problems = source, problems
	copied := false
	var changed []*registration
	for i, e := range events {
		if e.Cluster != "" {
			continue
		}
		if e.Kind == model.KindWorkloadGroup && !g.opts.Unregistered {
			changed = append(changed, g.followGroup(e)...)
		}
		if e.Kind != model.KindWorkloadEntry {
			continue
		}
		was := e.New
		if !g.opts.Unregistered {
			e.New = g.overlay(e)
		}
		next := g.follow(e)
		if g.opts.Write == nil && next != was {
			if !copied {
				events, copied = slices.Clone(events), true
			}
			events[i].New = next
		}
	}
	g.to.Apply(source, g.shown(slices.Clip(events), changed), problems)
}

// follow keeps an entry that is probed, and gives the object to hand on.
func (g *Registry) follow(e model.Event) *model.Object {
	known := g.entries[e.Namespace][e.Name]
	if e.New == nil || !model.HealthChecked(e.New) {
		if known != nil {
			remove(g.probed, known.place(), known)
			g.matchAt(known.place())
			delete(g.entries[e.Namespace], e.Name)
			if len(g.entries[e.Namespace]) == 0 {
				delete(g.entries, e.Namespace)
			}
		}
		return e.New
	}
	first := known == nil
	if first {
		known = &entry{}
		if g.entries[e.Namespace] == nil {
			g.entries[e.Namespace] = map[string]*entry{}
		}
		g.entries[e.Namespace][e.Name] = known
	}
	g.keep(known, e.New)
	known.shown = withHealth(e.New, known.status)
	if g.opts.Write != nil && known.notice(first, time.Now()) {
		g.poke()
	}
	return known.shown
}

// keep gives an entry its content, and to who may speak for it then. What was said of another machine is forgotten.
func (g *Registry) keep(e *entry, o *model.Object) {
	if e.object == nil {
		e.object = o
	} else if same := sameMachine(e.spec(), o.Spec.(*networking.WorkloadEntry)); same {
		e.object = o
		return
	} else {
		former := e.place()
		remove(g.probed, former, e)
		g.matchAt(former)
		e.object, e.stream, e.until = o, "", time.Time{}
		if e.status != nil {
			e.status, e.dirty = nil, true
			g.poke()
		}
	}
	add(g.probed, e.place(), e)
	g.matchAt(e.place())
}

// withHealth gives an entry with what was said, the same where nothing was.
func withHealth(o *model.Object, s *Status) *model.Object {
	if s == nil {
		return o
	}
	text := "False"
	if s.Healthy {
		text = "True"
	}
	out := *o
	out.Status = &metav1alpha1.IstioStatus{Conditions: []*metav1alpha1.IstioCondition{{Type: model.ConditionHealthy, Status: text}}}
	return &out
}

func (g *Registry) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Run brings on what is said, until ctx ends.
func (g *Registry) Run(ctx context.Context) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case <-timer.C:
		}
		next := g.bring(ctx)
		if next > 0 {
			timer.Reset(next)
		}
		pause := time.NewTimer(round)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// bring brings on all that is due, and tells when it is to look again; 0 for not by itself.
func (g *Registry) bring(ctx context.Context) time.Duration {
	due, next := g.due()
	if g.opts.Write == nil {
		return next
	}
	if g.writeAll(ctx, due) {
		next = round
	}
	return next
}

// due forgets what has gone, and takes what is not brought on yet. Without a cluster it is handed on.
func (g *Registry) due() (out []Change, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var events []model.Event
	asks := 0
	for _, namespace := range slices.Sorted(maps.Keys(g.entries)) {
		for _, name := range slices.Sorted(maps.Keys(g.entries[namespace])) {
			e := g.entries[namespace][name]
			if !e.until.IsZero() && !e.until.After(now) {
				e.status, e.until, e.dirty = nil, time.Time{}, true
			}
			if e.overdue(now, asks < asksAtOnce) {
				asks++
				out = append(out, Change{Key: e.object.Key, Since: e.other.probed, Ask: true})
			}
			for _, at := range []time.Time{e.until, e.look} {
				if left := at.Sub(now); !at.IsZero() && (next == 0 || left < next) {
					next = left
				}
			}
			if !e.dirty {
				continue
			}
			e.dirty = false
			well := e.status != nil && e.status.Healthy
			out = append(out, Change{Key: e.object.Key, Status: e.status, Since: e.since, turns: well != e.well})
			e.well = well
			if e.status != nil {
				e.since = e.status.Probed
			}
			if shown := withHealth(e.object, e.status); g.opts.Write == nil && !proto.Equal(shown.Status, e.shown.Status) {
				events = append(events, model.Event{Key: e.object.Key, Old: e.shown, New: shown})
				e.shown = shown
			}
		}
	}
	if len(events) > 0 {
		g.to.Apply(g.source, events, g.problems)
	}
	changes, look := g.dueRegistrations(now)
	return append(out, changes...), soonest(next, look, g.tellRefusals(now))
}

// soonest gives the least of durations above 0; 0 where there is none.
func soonest(all ...time.Duration) (out time.Duration) {
	for _, d := range all {
		if d > 0 && (out == 0 || d < out) {
			out = d
		}
	}
	return out
}

// again lets a change be brought on once more, unless there is a newer one.
func (g *Registry) again(c Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.entries[c.Key.Namespace][c.Key.Name]; e != nil && !e.dirty {
		e.dirty, e.since = true, c.Since
		e.well = e.well != c.turns
	}
}
