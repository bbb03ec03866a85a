// Package names is the source of the addresses of gateways between networks that are given by name, as load balancers
// of some clouds are. It asks the DNS at the edge of the control plane, and hands what it finds to the store as objects
// like any. Addresses stay while the DNS is away; a name that was never resolved is a problem.
package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Name is what the source calls itself.
const Name = "names"

const (
	// Names are asked for again after refresh, which is the shortest time that Istio takes from the DNS.
	refresh = 30 * time.Second
	// timeout bounds the answer for one name. A resolver asks twice, and waits 5 s each time unless it is told otherwise.
	timeout = 11 * time.Second
	// maxAtOnce bounds how many are asked for at a time. All have failed before they are asked for again.
	maxAtOnce = 50
	// maxNames bounds how many are asked for, and maxAddresses how many of each are used.
	maxNames, maxAddresses = 100, 32
)

// Resolver asks the DNS; net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Source resolves the names that are wanted.
type Source struct {
	resolver Resolver
	log      *slog.Logger

	mu     sync.Mutex
	wanted []string // without those that are too many
	over   []string
	known  map[string]*answer // of those that are wanted, once they are answered for

	changed chan struct{} // wanted is another
	tried   chan struct{}
}

// answer is what the DNS last said of a name.
type answer struct {
	addresses []string // of the last answer that was none of failure
	failure   string   // why there is no newer one
}

// New gives a source that wants nothing yet.
func New(resolver Resolver, log *slog.Logger) *Source {
	return &Source{
		resolver: resolver, log: log, known: map[string]*answer{}, changed: make(chan struct{}, 1), tried: make(chan struct{}, 1),
	}
}

// Want says which names are to be resolved from now on; it may be called at any time.
func (s *Source) Want(names []string) {
	s.mu.Lock()
	same := slices.Equal(slices.Concat(s.wanted, s.over), names)
	at := min(len(names), maxNames)
	s.wanted, s.over = slices.Clone(names[:at]), slices.Clone(names[at:])
	s.mu.Unlock()
	if !same {
		signal(s.changed)
	}
}

// Tried tells that one more name has been asked for.
func (s *Source) Tried() <-chan struct{} { return s.tried }

// Pending tells whether a name is wanted that was not asked for yet, or that was found and that has tells is not known.
func (s *Source) Pending(has func(model.Key) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.wanted, func(name string) bool {
		a := s.known[name]
		return a == nil || len(a.addresses) > 0 && !has(model.ResolvedNameKey(name))
	})
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run resolves until ctx ends, and returns nil then. Each name is in effect as soon as it is answered for, whatever becomes
// of the others.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	sink.Synced(Name)
	again := time.NewTicker(refresh)
	defer again.Stop()
	asked := questions{source: s, asking: map[string]struct{}{}, places: make(chan struct{}, maxAtOnce), answers: make(chan namedAnswer)}
	for {
		select {
		case <-ctx.Done():
			asked.running.Wait()
			return nil
		case <-s.changed:
			sink.Apply(Name, s.forget(), s.problems())
			asked.ask(ctx, s.unknown())
		case <-again.C:
			asked.ask(ctx, s.names())
		case a := <-asked.answers:
			delete(asked.asking, a.name)
			if events, news := s.take(a.name, a.answer); news {
				sink.Apply(Name, events, s.problems())
			}
			signal(s.tried)
		}
	}
}

// questions are those that wait for an answer, one a name.
type questions struct {
	source  *Source
	asking  map[string]struct{}
	places  chan struct{}
	answers chan namedAnswer
	running sync.WaitGroup
}

type namedAnswer struct {
	name   string
	answer answer
}

// ask asks for names, but for those that are asked for.
func (q *questions) ask(ctx context.Context, names []string) {
	for _, name := range names {
		if _, already := q.asking[name]; already {
			continue
		}
		q.asking[name] = struct{}{}
		q.running.Go(func() {
			q.places <- struct{}{}
			a := q.source.ask(ctx, name)
			<-q.places
			if ctx.Err() != nil {
				return // it was not the DNS that failed
			}
			select {
			case q.answers <- namedAnswer{name, a}:
			case <-ctx.Done():
			}
		})
	}
}

// names gives those that are wanted, and unknown those of them of which nothing was said yet.
func (s *Source) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

func (s *Source) unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.wanted), func(name string) bool { return s.known[name] != nil })
}

// ask resolves one name. That there is none of it is an answer, as in Istio.
func (s *Source) ask(ctx context.Context, name string) (out answer) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := s.resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(name, ".")+".") // in no search domain
	if err != nil {
		out.failure = model.Printable(ownAddress.ReplaceAllString(err.Error(), "$1 "))
		var of *net.DNSError
		if errors.As(err, &of) && of.IsNotFound {
			return out
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if known := s.known[name]; known != nil {
			out.addresses = known.addresses
		}
		return out
	}
	for _, a := range found {
		if a = a.Unmap(); a.Zone() == "" && !a.IsUnspecified() {
			out.addresses = append(out.addresses, a.String())
		}
	}
	slices.Sort(out.addresses)
	out.addresses = slices.Compact(out.addresses)
	out.addresses = out.addresses[:min(len(out.addresses), maxAddresses)]
	if len(out.addresses) == 0 {
		out.failure = "none of its addresses can be connected to"
	}
	return out
}

// ownAddress is in failures, with another port each time. Without it the same failure is the same text.
var ownAddress = regexp.MustCompile(`\b((?:read|write) (?:udp|tcp)) \S+->`)

// take keeps an answer, and gives the change of the object that follows from it. It is no news where it is as before, or
// where nobody wants the name any more.
func (s *Source) take(name string, a answer) (events []model.Event, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.known[name]
	if !slices.Contains(s.wanted, name) {
		return nil, false
	}
	s.known[name] = &a
	if !slices.Equal(before.known(), a.addresses) {
		events = []model.Event{{Key: model.ResolvedNameKey(name), Old: objectOf(name, before), New: objectOf(name, &a)}}
	}
	failed := before == nil || before.failure != a.failure
	if failed && a.failure != "" {
		s.log.Warn("the name of a gateway is not resolved", slog.String("name", name), slog.String("error", a.failure))
	}
	return events, failed || len(events) > 0
}

// forget drops what is known of names that nobody wants any more, and gives the changes of objects that follow.
func (s *Source) forget() (events []model.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, before := range s.known {
		if slices.Contains(s.wanted, name) {
			continue
		}
		delete(s.known, name)
		if len(before.addresses) > 0 {
			events = append(events, model.Event{Key: model.ResolvedNameKey(name), Old: objectOf(name, before)})
		}
	}
	slices.SortFunc(events, func(a, b model.Event) int { return cmp.Compare(a.Key.Name, b.Key.Name) })
	return events
}

// problems gives those of all names.
func (s *Source) problems() (out []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.wanted {
		if a := s.known[name]; a != nil && a.failure != "" {
			out = append(out, a.problem(name))
		}
	}
	for _, name := range s.over {
		out = append(out, model.Problem{
			Object: model.ResolvedNameKey(name), Severity: model.SeverityError, Reason: model.ReasonDegraded,
			Message: fmt.Sprintf("the name is not resolved, since there are more than %d names of gateways; write addresses", maxNames),
		})
	}
	slices.SortFunc(out, model.CompareProblems)
	return out
}

func (a *answer) known() []string {
	if a == nil {
		return nil
	}
	return a.addresses
}

// problem tells of a name whose last answer was a failure.
func (a *answer) problem(name string) model.Problem {
	out := model.Problem{
		Object: model.ResolvedNameKey(name), Severity: model.SeverityError, Reason: model.ReasonDegraded,
		Message: "the name is not resolved: " + a.failure + "; there is no gateway into a network by it",
	}
	if len(a.addresses) > 0 {
		out.Severity, out.Message = model.SeverityWarning, "the name is not resolved: "+a.failure+"; the former addresses stay"
	}
	return out
}

// objectOf gives the object of a name, nil for one without addresses.
func objectOf(name string, a *answer) *model.Object {
	if len(a.known()) == 0 {
		return nil
	}
	return &model.Object{Key: model.ResolvedNameKey(name), Spec: &model.ResolvedName{Addresses: a.addresses}}
}
