// Package jwks is the source of the key sets that RequestAuthentications name by jwksUri or by their
// issuer, and of the SPIFFE bundles, which are such sets too, that MeshConfig names by spiffeBundleUrl. It
// fetches them at the edge of the control plane and hands them to the store as objects like any, so that a
// change of keys reaches only the proxies that use them. A set stays when its issuer is away; one that was
// never reached is a problem, and tokens of the issuer, or identities of the domain, are refused. Its back-off
// is two lines of the loop that also refreshes: a library would be a second timer.
package jwks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// Name is what the source calls itself.
const Name = "keys"

const (
	// Keys are fetched again after refresh, as Istio does, and after a failure sooner, from retryFirst on
	// and twice as late each time.
	refresh    = 20 * time.Minute
	retryFirst = time.Second
	retryLast  = 5 * time.Minute
	// maxSources bounds how many sets are fetched, maxAtOnce how many at a time, and maxSlow how many of those
	// beside them whose rules let a fetch take longer than is usual. So these wait for each other alone.
	maxSources = 1000
	maxAtOnce  = 8
	maxSlow    = 4
	// maxReason bounds what is told of a failure, in bytes.
	maxReason = 512
)

// Bundles are fetched again as often as they wish, within these bounds, or after refreshBundle where they wish
// nothing, which is what the SPIFFE standard advises. An hour bounds how long a root counts that was taken back.
const (
	refreshBundle      = 5 * time.Minute
	refreshBundleFirst = time.Minute
	refreshBundleLast  = time.Hour
)

// Fetcher gets key sets as JSON, and bundles; auth.KeySets is one.
type Fetcher interface {
	At(ctx context.Context, url string) (string, error)
	Of(ctx context.Context, issuer string) (string, error)
	Bundle(ctx context.Context, url string) (auth.Bundle, error)
}

// Source fetches the sets that are wanted.
type Source struct {
	fetcher Fetcher
	first   time.Duration // refreshBundleFirst, or what takes its place
	log     *slog.Logger

	mu     sync.Mutex
	wanted []model.KeySetFetch
	failed map[model.KeySetSource]string // why the last fetch failed
	held   map[model.KeySetSource]*model.Object

	changed  chan struct{} // wanted is another
	failures chan struct{}
}

// New gives a source that wants nothing yet. It fetches a bundle again no sooner than after first; zero stands for a
// minute.
func New(fetcher Fetcher, first time.Duration, log *slog.Logger) *Source {
	return &Source{
		fetcher: fetcher, first: cmp.Or(first, refreshBundleFirst), log: log, failed: map[model.KeySetSource]string{}, held: map[model.KeySetSource]*model.Object{},
		changed: make(chan struct{}, 1), failures: make(chan struct{}, 1),
	}
}

// Want says which sets are to be fetched from now on; it may be called at any time.
func (s *Source) Want(sets []model.KeySetFetch) {
	s.mu.Lock()
	same := slices.Equal(s.wanted, sets)
	s.wanted = slices.Clone(sets)
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
		if s.failed[w.KeySetSource] == "" && !has(w.Key()) {
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
	spec    any // *model.KeySet or *model.SPIFFEBundle
	refresh time.Duration
	number  *uint64 // of the bundle, nil for none
	err     error
}

// Run fetches until ctx ends, and returns nil then.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	var fetches sync.WaitGroup
	defer fetches.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sink.Synced(Name)
	results := make(chan fetched)
	usual, slow := make(chan struct{}, maxAtOnce), make(chan struct{}, maxSlow)
	following := map[model.KeySetSource]followed{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-results:
			if _, ok := following[r.KeySetSource]; ok { // else it is wanted no longer
				s.take(r, sink)
			}
		case <-s.changed:
			begin, end := s.compare(following)
			for _, w := range end {
				following[w].stop()
				delete(following, w)
			}
			for _, w := range begin {
				if before, ok := following[w.KeySetSource]; ok {
					before.stop() // it is fetched at once with its other time
				}
				one, cancel := context.WithCancel(ctx)
				following[w.KeySetSource] = followed{w.Timeout, cancel}
				places := usual
				if w.Timeout > model.KeySetTimeout {
					places = slow
				}
				fetches.Go(func() { s.follow(one, w, places, results) })
			}
			s.drop(end, sink)
		}
	}
}

// followed is a set that is fetched again and again.
type followed struct {
	timeout time.Duration
	stop    context.CancelFunc
}

// compare gives the sets that are wanted and not followed with their timeout, and those that are followed and not
// wanted.
func (s *Source) compare(following map[model.KeySetSource]followed) (begin []model.KeySetFetch, end []model.KeySetSource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[model.KeySetSource]bool{}
	for _, w := range s.wanted[:min(len(s.wanted), maxSources)] {
		wanted[w.KeySetSource] = true
		if f, ok := following[w.KeySetSource]; !ok || f.timeout != w.Timeout {
			begin = append(begin, w)
		}
	}
	for w := range following {
		if !wanted[w] {
			end = append(end, w)
		}
	}
	return begin, end
}

// follow fetches one set again and again.
func (s *Source) follow(ctx context.Context, w model.KeySetFetch, places chan struct{}, results chan<- fetched) {
	retry := retryFirst
	var latest uint64 // number of a bundle
	for {
		var out fetched
		select {
		case places <- struct{}{}:
			out = s.fetch(ctx, w)
			if n := out.number; out.err == nil && n != nil {
				if *n < latest { // a root that was taken back would be there again
					out.err = fmt.Errorf("%s: the bundle is older than the one before: its spiffe_sequence is %d after %d", w.Bundle, *n, latest)
				} else {
					latest = *n
				}
			}
			<-places
			if ctx.Err() != nil {
				return // it was not the issuer who failed
			}
		case <-ctx.Done():
			return
		}
		wait := out.refresh
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

func (s *Source) fetch(ctx context.Context, w model.KeySetFetch) fetched {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout) // discovery and keys together
	defer cancel()
	if w.Bundle != "" {
		b, err := s.fetcher.Bundle(ctx, w.Bundle)
		if err == nil && len(strings.Join(b.Roots, "")) > model.MaxSPIFFEBundle {
			err = fmt.Errorf("%s: its roots are longer than %d bytes of PEM", w.Bundle, model.MaxSPIFFEBundle)
		}
		return fetched{w.KeySetSource, &model.SPIFFEBundle{Roots: b.Roots}, s.bundleRefresh(b.Refresh), b.Sequence, err}
	}
	var keys string
	var err error
	if w.URL != "" {
		keys, err = s.fetcher.At(ctx, w.URL)
	} else {
		keys, err = s.fetcher.Of(ctx, w.Issuer)
	}
	return fetched{w.KeySetSource, &model.KeySet{Keys: keys}, refresh, nil, err}
}

// bundleRefresh gives when a bundle is fetched again that wishes so after hint, or, by zero, wishes nothing.
func (s *Source) bundleRefresh(hint time.Duration) time.Duration {
	if hint == 0 {
		return refreshBundle
	}
	return min(max(hint, s.first), refreshBundleLast)
}

// take hands on what a fetch gave. A set that was had before stays when a fetch fails.
func (s *Source) take(r fetched, sink model.Sink) {
	s.mu.Lock()
	var events []model.Event
	old := s.held[r.KeySetSource]
	switch {
	case r.err != nil:
		s.log.Warn("keys cannot be fetched", slog.String("of", r.Name()), slog.Bool("formerKeysStay", old != nil), slog.String("error", reason(r.err)))
		s.failed[r.KeySetSource] = reason(r.err)
	default:
		delete(s.failed, r.KeySetSource)
		if old == nil || !reflect.DeepEqual(old.Spec, r.spec) {
			next := &model.Object{Key: r.Key(), Spec: r.spec}
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
		without := "every token of it is refused"
		if w.Bundle != "" {
			without = "it adds no roots"
		}
		p := model.Problem{Object: w.Key(), Severity: model.SeverityError, Reason: model.ReasonDegraded, Message: "cannot be fetched: " + why + "; " + without}
		if s.held[w] != nil {
			p.Severity, p.Message = model.SeverityWarning, "cannot be fetched: "+why+"; the former keys stay"
		}
		out = append(out, p)
	}
	for _, w := range s.wanted[min(len(s.wanted), maxSources):] {
		out = append(out, model.Problem{
			Object: w.Key(), Severity: model.SeverityError, Reason: model.ReasonDegraded,
			Message: fmt.Sprintf("is not fetched, since there are more than %d; give the keys themselves", maxSources),
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
