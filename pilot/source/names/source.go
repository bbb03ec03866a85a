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
	// timeout bounds the answer for one name, and maxAtOnce how many are asked for at a time.
	timeout   = 5 * time.Second
	maxAtOnce = 8
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
	known  map[string]*answer

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

// Tried tells that all names that were wanted have been asked for.
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

// Run resolves until ctx ends, and returns nil then.
func (s *Source) Run(ctx context.Context, sink model.Sink) error {
	sink.Synced(Name)
	timer := time.NewTimer(refresh)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		case <-timer.C:
		}
		if timer.Stop(); s.round(ctx, sink) > 0 {
			timer.Reset(refresh)
		}
	}
}

// round asks for every name once, hands on what is another than before, and says how many names there are.
func (s *Source) round(ctx context.Context, sink model.Sink) int {
	s.mu.Lock()
	names := s.wanted
	s.mu.Unlock()
	answers := make([]answer, len(names))
	var asked sync.WaitGroup
	places := make(chan struct{}, maxAtOnce)
	for i, name := range names {
		asked.Go(func() {
			places <- struct{}{}
			answers[i] = s.ask(ctx, name)
			<-places
		})
	}
	asked.Wait()
	if ctx.Err() == nil { // else it was not the DNS that failed
		events, problems := s.take(names, answers)
		sink.Apply(Name, events, problems)
		signal(s.tried)
	}
	return len(names)
}

// ask resolves one name. That there is none of it is an answer, as in Istio.
func (s *Source) ask(ctx context.Context, name string) (out answer) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := s.resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(name, ".")+".") // in no search domain
	if err != nil {
		out.failure = model.Printable(err.Error())
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

// take keeps answers, and gives the changes of objects that follow from them.
func (s *Source) take(names []string, answers []answer) (events []model.Event, problems []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string]*answer, len(names))
	for i, name := range names {
		a := &answers[i]
		next[name] = a
		if before := s.known[name]; !slices.Equal(before.known(), a.addresses) {
			events = append(events, model.Event{Key: model.ResolvedNameKey(name), Old: objectOf(name, before), New: objectOf(name, a)})
		}
		if a.failure == "" {
			continue
		}
		problems = append(problems, a.problem(name))
		if before := s.known[name]; before == nil || before.failure != a.failure {
			s.log.Warn("the name of a gateway is not resolved", slog.String("name", name), slog.String("error", a.failure))
		}
	}
	for _, name := range s.over {
		problems = append(problems, model.Problem{
			Object: model.ResolvedNameKey(name), Severity: model.SeverityError, Reason: model.ReasonDegraded,
			Message: fmt.Sprintf("the name is not resolved, since there are more than %d names of gateways; write addresses", maxNames),
		})
	}
	for name, before := range s.known {
		if next[name] == nil && len(before.addresses) > 0 {
			events = append(events, model.Event{Key: model.ResolvedNameKey(name), Old: objectOf(name, before)})
		}
	}
	s.known = next
	slices.SortFunc(events, func(a, b model.Event) int { return cmp.Compare(a.Key.Name, b.Key.Name) })
	slices.SortFunc(problems, model.CompareProblems)
	return events, problems
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
