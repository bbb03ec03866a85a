package store

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// KindSource is the kind under which a source itself is reported.
const KindSource model.Kind = "Source"

// runner is what Run's goroutine owns.
type runner struct {
	*Store
	state  *state
	layers []layer
	// queue holds the configuration that waits for the quiet window.
	queue map[model.Key]struct{}
	// first and last are the arrival of the first and last change that waits.
	first, last time.Time
	window      *time.Timer       // ends the quiet window
	pending     *Commit           // not yet taken by the reader
	settling    []chan<- struct{} // to be told of the commit after which nothing waits
}

// layer is one source's objects.
type layer struct {
	SourceOptions
	objects map[model.Key]*model.Object
	synced  bool
	late    bool // its deadline has passed
	// problems are those that the source reports, without our own.
	problems []model.Problem
}

// Run commits what the sources deliver until ctx ends; it may run once. It
// returns nil then.
func (s *Store) Run(ctx context.Context) error {
	r := &runner{
		Store: s, state: newState(s.opts.Domain, s.opts.Indexes...), queue: map[model.Key]struct{}{}, window: time.NewTimer(time.Hour),
	}
	r.window.Stop() // nothing waits yet
	defer r.window.Stop()
	r.state.told(s.opts)
	for _, source := range s.opts.Sources {
		r.layers = append(r.layers, layer{SourceOptions: source, objects: map[model.Key]*model.Object{}})
		if source.Deadline > 0 {
			defer time.AfterFunc(source.Deadline, func() { s.post(func(r *runner) { r.miss(source.Name) }) }).Stop()
		}
	}
	r.begin()
	for {
		var out chan Commit
		var next Commit
		if r.pending != nil {
			out, next = s.commits, *r.pending
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			r.receive()
		case <-r.window.C:
			r.flush()
		case out <- next:
			r.pending = nil
		}
	}
}

// receive takes the inbox. Endpoints are committed at once, configuration after a quiet window.
func (r *runner) receive() {
	for _, do := range r.take() {
		do(r)
	}
	if !r.Ready() {
		r.begin()
		return
	}
	r.commit()
	r.openWindow()
	r.settle()
}

// apply takes what a source delivers.
func (r *runner) apply(source string, events []model.Event, problems []model.Problem, arrived time.Time) {
	at := r.layer(source)
	if !slices.Equal(problems, r.layers[at].problems) {
		r.layers[at].problems = problems
		r.report(at)
	}
	for _, e := range events {
		r.event(at, e, arrived)
	}
}

// sync notes that a source has delivered its initial state.
func (r *runner) sync(source string) {
	at := r.layer(source)
	if r.layers[at].synced {
		return
	}
	r.layers[at].synced = true
	r.report(at)
	r.opts.Logger.Debug("source synced", slog.String("source", source))
}

// miss notes that a source has missed its deadline, if it has.
func (r *runner) miss(source string) {
	if at := r.layer(source); !r.layers[at].synced {
		r.layers[at].late = true
		r.report(at)
	}
}

// layer finds the source's layer; a source that was not announced comes after the others.
func (r *runner) layer(source string) int {
	i := slices.IndexFunc(r.layers, func(l layer) bool { return l.Name == source })
	if i < 0 {
		i = len(r.layers)
		r.layers = append(r.layers, layer{SourceOptions: SourceOptions{Name: source}, objects: map[model.Key]*model.Object{}})
	}
	return i
}

func (r *runner) event(at int, e model.Event, arrived time.Time) {
	if cluster := r.layers[at].Cluster; cluster != "" {
		if !clustered(e.Kind) {
			return
		}
		e.Cluster = cluster
		if e.New != nil {
			o := *e.New
			o.Cluster = cluster
			e.New = &o
		}
	}
	if e.New == nil {
		delete(r.layers[at].objects, e.Key)
	} else {
		r.layers[at].objects[e.Key] = e.New
	}
	if r.first.IsZero() {
		r.first = arrived
	}
	if e.Kind == model.KindPod || e.Kind == model.KindEndpointSlice {
		r.state.put(e.Key, r.effective(e.Key))
		return
	}
	r.queue[e.Key] = struct{}{}
	r.last = arrived
}

// clustered tells whether a kind is taken from remote clusters.
func clustered(kind model.Kind) bool {
	return kind == model.KindService || kind == model.KindPod || kind == model.KindEndpointSlice
}

// effective gives the object that counts for a key: that of the last source which has one.
func (r *runner) effective(key model.Key) *model.Object {
	for _, l := range slices.Backward(r.layers) {
		if o := l.objects[key]; o != nil {
			return o
		}
	}
	return nil
}

// begin makes the first commit if every source has synced or missed its deadline.
func (r *runner) begin() {
	if !slices.ContainsFunc(r.layers, func(l layer) bool { return !l.synced && !l.late }) {
		r.flush()
	}
}

// report hands on the problems of a source, with that of its absence.
func (r *runner) report(at int) {
	l := &r.layers[at]
	problems := slices.Clone(l.problems)
	if l.late && !l.synced {
		problems = append(problems, model.Problem{
			Object: model.Key{Kind: KindSource, Name: l.Name}, Severity: model.SeverityWarning, Reason: model.ReasonDegraded,
			Message: fmt.Sprintf("has not delivered its objects within %v; the mesh is served without them until it does", l.Deadline),
		})
	}
	r.opts.Report("source "+l.Name, problems)
}

// openWindow sets the alarm for the end of the quiet window: Quiet after the last change, at
// most MaxQuiet after the first.
func (r *runner) openWindow() {
	if len(r.queue) == 0 {
		r.first = time.Time{}
		return
	}
	end := r.last.Add(r.opts.Quiet)
	if latest := r.first.Add(r.opts.MaxQuiet); latest.Before(end) {
		end = latest
	}
	r.window.Reset(max(0, time.Until(end)))
}

// flush commits the configuration that waited.
func (r *runner) flush() {
	for key := range r.queue {
		r.state.put(key, r.effective(key))
	}
	clear(r.queue)
	r.commit()
	r.first = time.Time{}
	r.settle()
}

// settle lets the next commit tell those who wait, if no configuration waits. The reader has applied all former
// ones before it takes that one.
func (r *runner) settle() {
	if len(r.settling) == 0 || len(r.queue) > 0 {
		return
	}
	if r.pending == nil {
		r.pending = &Commit{Snapshot: r.current.Load()}
	}
	r.pending.settling = append(r.pending.settling, r.settling...)
	r.settling = nil
}

// commit makes the next snapshot and merges its step with one that the reader has not taken.
func (r *runner) commit() {
	began := time.Now()
	c, ok := r.state.commit()
	for _, what := range r.state.moved {
		r.opts.Logger.Warn("an allocated address moved, since another host has it now; clients that remember it reach the other host", slog.String("host", what))
	}
	r.state.moved = nil
	if !ok {
		return
	}
	c.Since, c.Began, c.Ended = r.first, began, time.Now()
	if c.Since.IsZero() {
		c.Since = began
	}
	r.current.Store(c.Snapshot)
	c = c.merge(r.pending)
	r.pending = &c
	r.opts.Logger.Debug("commit", slog.Int("changed", len(c.Changed)), slog.Int("endpoints", len(c.Endpoints)),
		slog.Bool("full", c.Full))
}
