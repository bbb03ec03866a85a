// Package jwks is the source of the key sets that RequestAuthentications name by jwksUri or by their
// issuer: it fetches them at the edge of the control plane and hands them to the store as objects like
// any, so that a change of keys reaches only the proxies that use them. A set stays when its issuer is
// away; one that was never reached is a problem, and tokens of the issuer are refused. Its back-off is two
// lines of the loop that also refreshes: a library would be a second timer.
package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Name is what the source calls itself.
const Name = "keys"

const (
	// Keys are fetched again after refresh, as Istio does, and after a failure sooner, from retryFirst on
	// and twice as late each time.
	refresh    = 20 * time.Minute
	retryFirst = time.Second
	retryLast  = 5 * time.Minute
	// maxSources bounds how many sets are fetched, maxAtOnce how many at a time.
	maxSources = 1000
	maxAtOnce  = 8
	// maxReason bounds what is told of a failure, in bytes.
	maxReason = 512
)

// Fetcher gets a set as JSON; auth.KeySets is one.
type Fetcher interface {
	At(ctx context.Context, url string) (string, error)
	Of(ctx context.Context, issuer string) (string, error)
}

// Source fetches the sets that are wanted.
type Source struct {
	fetcher Fetcher
	log     *slog.Logger

	mu     sync.Mutex
	wanted []model.KeySetSource
	failed map[model.KeySetSource]string // why the last fetch failed
	held   map[model.KeySetSource]*model.Object

	changed  chan struct{} // wanted is another
	failures chan struct{}
}

// New gives a source that wants nothing yet.
func New(fetcher Fetcher, log *slog.Logger) *Source {
	return &Source{
		fetcher: fetcher, log: log, failed: map[model.KeySetSource]string{}, held: map[model.KeySetSource]*model.Object{},
		changed: make(chan struct{}, 1), failures: make(chan struct{}, 1),
	}
}

// Want says which sets are to be fetched from now on; it may be called at any time.
func (s *Source) Want(sources []model.KeySetSource) {
	s.mu.Lock()
	same := slices.Equal(s.wanted, sources)
	s.wanted = slices.Clone(sources)
	s.mu.Unlock()
	if !same {
		signal(s.changed)
	}
}

// Failures tells that a fetch has failed.
func (s *Source) Failures() <-chan struct{} { return s.failures }

// Pending tells whether a set is wanted that was not tried yet, or that was fetched and that has tells is
// not known.
func (s *Source) Pending(has func(model.Key) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wanted[:min(len(s.wanted), maxSources)] {
		if s.failed[w] == "" && !has(w.Key()) {
			return true
		}
	}
	return false
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fetched is the outcome of a fetch.
type fetched struct {
	model.KeySetSource
	keys string
	err  error
}

// Run fetches until ctx ends, and returns nil then.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	var fetches sync.WaitGroup
	defer fetches.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sink.Synced(Name)
	results, places := make(chan fetched), make(chan struct{}, maxAtOnce)
	stop := map[model.KeySetSource]context.CancelFunc{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-results:
			if stop[r.KeySetSource] != nil { // else it is wanted no longer
				s.take(r, sink)
			}
		case <-s.changed:
			begin, end := s.compare(stop)
			for _, w := range end {
				stop[w]()
				delete(stop, w)
			}
			for _, w := range begin {
				one, cancel := context.WithCancel(ctx)
				stop[w] = cancel
				fetches.Go(func() { s.follow(one, w, places, results) })
			}
			s.drop(end, sink)
		}
	}
}

// compare gives the sets that are wanted and not followed, and the opposite.
func (s *Source) compare(followed map[model.KeySetSource]context.CancelFunc) (begin, end []model.KeySetSource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.wanted[:min(len(s.wanted), maxSources)]
	for _, w := range wanted {
		if followed[w] == nil {
			begin = append(begin, w)
		}
	}
	for w := range followed {
		if !slices.Contains(wanted, w) {
			end = append(end, w)
		}
	}
	return begin, end
}

// follow fetches one set again and again.
func (s *Source) follow(ctx context.Context, w model.KeySetSource, places chan struct{}, results chan<- fetched) {
	retry := retryFirst
	for {
		out := fetched{KeySetSource: w}
		select {
		case places <- struct{}{}:
			out.keys, out.err = s.fetch(ctx, w)
			<-places
		case <-ctx.Done():
			return
		}
		wait := refresh
		if out.err != nil {
			wait, retry = retry, min(2*retry, retryLast)
		} else {
			retry = retryFirst
		}
		select {
		case results <- out:
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (s *Source) fetch(ctx context.Context, w model.KeySetSource) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	if w.URL != "" {
		return s.fetcher.At(ctx, w.URL)
	}
	return s.fetcher.Of(ctx, w.Issuer)
}

// take hands on what a fetch gave. A set that was had before stays when a fetch fails.
func (s *Source) take(r fetched, sink model.Sink) {
	s.mu.Lock()
	var events []model.Event
	old := s.held[r.KeySetSource]
	switch {
	case r.err != nil:
		s.log.Warn("keys of tokens cannot be fetched", slog.String("of", r.Name()), slog.Bool("formerKeysStay", old != nil), slog.String("error", reason(r.err)))
		s.failed[r.KeySetSource] = reason(r.err)
	default:
		delete(s.failed, r.KeySetSource)
		if old == nil || old.Spec.(*model.KeySet).Keys != r.keys {
			next := &model.Object{Key: r.Key(), Spec: &model.KeySet{Keys: r.keys}}
			s.held[r.KeySetSource] = next
			events = append(events, model.Event{Key: next.Key, Old: old, New: next})
		}
	}
	problems := s.problems()
	s.mu.Unlock()
	sink.Apply(Name, events, problems)
	if r.err != nil {
		signal(s.failures)
	}
}

// drop forgets sets that are wanted no longer.
func (s *Source) drop(gone []model.KeySetSource, sink model.Sink) {
	s.mu.Lock()
	var events []model.Event
	for _, w := range gone {
		delete(s.failed, w)
		if old := s.held[w]; old != nil {
			delete(s.held, w)
			events = append(events, model.Event{Key: old.Key, Old: old})
		}
	}
	problems := s.problems()
	s.mu.Unlock()
	sink.Apply(Name, events, problems)
}

// problems tells of the sets whose last fetch failed, and of those that are too many.
func (s *Source) problems() []model.Problem {
	var out []model.Problem
	for w, why := range s.failed {
		p := model.Problem{Object: w.Key(), Severity: model.SeverityError, Reason: model.ReasonDegraded, Message: "cannot be fetched: " + why + "; every token of it is refused"}
		if s.held[w] != nil {
			p.Severity, p.Message = model.SeverityWarning, "cannot be fetched: "+why+"; the former keys stay"
		}
		out = append(out, p)
	}
	for _, w := range s.wanted[min(len(s.wanted), maxSources):] {
		out = append(out, model.Problem{
			Object: w.Key(), Severity: model.SeverityError, Reason: model.ReasonDegraded,
			Message: fmt.Sprintf("is not fetched, since there are more than %d; give the rule jwks", maxSources),
		})
	}
	slices.SortFunc(out, model.CompareProblems)
	return out
}

// reason gives an error in printable characters.
func reason(err error) string {
	text := err.Error()
	return model.Printable(text[:min(len(text), maxReason)])
}
