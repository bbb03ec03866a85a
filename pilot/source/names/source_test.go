package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// zone answers for names, with their final dot.
type zone struct {
	mu      sync.Mutex
	records map[string][]netip.Addr
	err     error // of all names
	asks    int
	block   bool
	stuck   string // names that begin so are never answered for
	late    time.Duration
}

func (z *zone) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	z.asks++
	found, err, late, block := z.records[host], z.err, z.late, z.block || z.stuck != "" && strings.HasPrefix(host, z.stuck)
	z.mu.Unlock()
	if block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(late)
	if err == nil && found == nil {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, err
}

func (z *zone) set(change func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	change()
}

func (z *zone) name(name string, addresses ...string) {
	z.set(func() {
		delete(z.records, name)
		for _, a := range addresses {
			z.records[name] = append(z.records[name], netip.MustParseAddr(a))
		}
	})
}

// sink holds what it was given.
type sink struct {
	mu       sync.Mutex
	objects  map[model.Key]*model.Object
	problems []model.Problem
	events   int
}

func (s *sink) Synced(string) {}

func (s *sink) Apply(_ string, events []model.Event, problems []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events++
		if s.objects[e.Key] != e.Old && (s.objects[e.Key] == nil || e.Old == nil || !model.SameSpec(s.objects[e.Key], e.Old)) {
			panic(fmt.Sprintf("%s: an event of another object", e.Key))
		}
		if delete(s.objects, e.Key); e.New != nil {
			s.objects[e.Key] = e.New
		}
	}
	s.problems = problems
}

func (s *sink) has(k model.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[k] != nil
}

// told gives the names with their addresses, and the problems.
func (s *sink) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, key := range slices.SortedFunc(maps.Keys(s.objects), model.Key.Compare) {
		out = append(out, key.Name+"="+strings.Join(s.objects[key].Spec.(*model.ResolvedName).Addresses, ","))
	}
	for _, p := range s.problems {
		out = append(out, fmt.Sprintf("%s %s %s", p.Severity, p.Object.Name, p.Message))
	}
	return strings.Join(out, "; ")
}

// run has a source resolve by a zone while the test does.
func run(t *testing.T, test func(z *zone, s *Source, to *sink)) {
	synctest.Test(t, func(t *testing.T) {
		z, to := &zone{records: map[string][]netip.Addr{}}, &sink{objects: map[model.Key]*model.Object{}}
		s := New(z, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, to) }()
		test(z, s, to)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func check(t *testing.T, step string, to *sink, want string) {
	t.Helper()
	synctest.Wait()
	if got := to.told(); got != want {
		t.Errorf("%s: %q, want %q", step, got, want)
	}
}

// What the DNS says of a name is followed; while it says nothing, what it said before stays.
func TestNamesAreFollowed(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		z.name("a.example.com.", "203.0.113.2", "203.0.113.1", "::ffff:203.0.113.1", "2001:db8::1", "0.0.0.0")
		s.Want([]string{"a.example.com", "b.example.com"})
		const none = "Error b.example.com the name is not resolved: lookup b.example.com.: no such host; there is no gateway into a network by it"
		check(t, "first", to, "a.example.com=2001:db8::1,203.0.113.1,203.0.113.2; "+none)
		z.name("a.example.com.", "203.0.113.9")
		check(t, "before the time", to, "a.example.com=2001:db8::1,203.0.113.1,203.0.113.2; "+none)
		time.Sleep(refresh)
		check(t, "others", to, "a.example.com=203.0.113.9; "+none)
		events := to.events
		z.set(func() { z.err = errors.New("away") })
		time.Sleep(refresh)
		check(t, "the DNS is away", to, "a.example.com=203.0.113.9; Warning a.example.com the name is not resolved: away; the former addresses stay; "+
			"Error b.example.com the name is not resolved: away; there is no gateway into a network by it")
		if to.events != events {
			t.Errorf("%d events of what stayed the same", to.events-events)
		}
		z.set(func() { z.err = nil })
		z.name("a.example.com.", "0.0.0.0", "::") // as filters of names answer
		time.Sleep(refresh)
		check(t, "no address", to, "Error a.example.com the name is not resolved: none of its addresses can be connected to; there is no gateway into a network by it; "+none)
		z.name("a.example.com.")
		time.Sleep(refresh)
		check(t, "the name is gone", to, strings.ReplaceAll(none, "b.", "a.")+"; "+none)
	})
}

// What is wanted no longer is not asked for, and nothing is known of it.
func TestNamesThatAreWantedNoLonger(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		z.name("a.example.com.", "203.0.113.1")
		s.Want([]string{"a.example.com", "b.example.com"})
		synctest.Wait()
		s.Want(nil)
		check(t, "nothing is wanted", to, "")
		asks := z.asks
		time.Sleep(10 * refresh)
		check(t, "later", to, "")
		if z.asks != asks {
			t.Errorf("asked %d times for what nobody wants", z.asks-asks)
		}
		s.Want([]string{"a.example.com"})
		check(t, "wanted again", to, "a.example.com=203.0.113.1")
	})
}

// Nothing is served before each name was tried, and what was found is in effect.
func TestPending(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		z.name("a.example.com.", "203.0.113.1")
		z.set(func() { z.block = true })
		s.Want([]string{"a.example.com"})
		synctest.Wait()
		if !s.Pending(to.has) {
			t.Error("a name that nobody has answered for is not pending")
		}
		time.Sleep(timeout) // it counts as tried
		<-s.Tried()
		if s.Pending(to.has) {
			t.Error("a name that was tried is pending")
		}
		z.set(func() { z.block = false })
		time.Sleep(refresh)
		<-s.Tried()
		if !s.Pending(func(model.Key) bool { return false }) || s.Pending(to.has) {
			t.Error("a name that was found is to be pending until it is in effect")
		}
	})
}

// What is answered for does not wait for what is not, and what is wanted later is asked for at once.
func TestNamesDoNotWaitForEachOther(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		const none = "the name is not resolved: context deadline exceeded; there is no gateway into a network by it"
		z.set(func() { z.stuck = "s" })
		z.name("a.example.com.", "203.0.113.1")
		z.name("b.example.com.", "203.0.113.2")
		s.Want([]string{"s.example.com", "a.example.com"})
		check(t, "first", to, "a.example.com=203.0.113.1")
		s.Want([]string{"s.example.com", "a.example.com", "b.example.com"})
		check(t, "wanted later", to, "a.example.com=203.0.113.1; b.example.com=203.0.113.2")
		s.Want([]string{"s.example.com", "b.example.com"})
		check(t, "wanted no longer", to, "b.example.com=203.0.113.2")
		time.Sleep(timeout)
		check(t, "at the end", to, "b.example.com=203.0.113.2; Error s.example.com "+none)
		if z.asks != 3 {
			t.Errorf("asked %d times for three names", z.asks)
		}
	})
}

// All names have failed before they are asked for again, however many, and no more than maxAtOnce are asked for at a time.
func TestNobodyAnswers(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		z.set(func() { z.block = true })
		var names []string
		for i := range maxNames {
			names = append(names, fmt.Sprintf("n%03d.example.com", i))
		}
		s.Want(names)
		synctest.Wait()
		if z.asks != maxAtOnce {
			t.Errorf("%d names are asked for at a time", z.asks)
		}
		time.Sleep(refresh - 1)
		synctest.Wait()
		if s.Pending(to.has) || len(to.problems) != maxNames || z.asks != maxNames {
			t.Errorf("%d problems after %d questions", len(to.problems), z.asks)
		}
	})
}

// An answer that comes when nobody wants the name any more counts for nothing.
func TestALateAnswer(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		z.set(func() { z.late = time.Second })
		z.name("a.example.com.", "203.0.113.1")
		s.Want([]string{"a.example.com"})
		synctest.Wait()
		s.Want(nil)
		time.Sleep(2 * time.Second)
		check(t, "late", to, "")
		s.Want([]string{"a.example.com"})
		time.Sleep(time.Second)
		check(t, "wanted again", to, "a.example.com=203.0.113.1")
	})
}

// Names that are too many are told.
func TestTooManyNames(t *testing.T) {
	run(t, func(z *zone, s *Source, to *sink) {
		var names []string
		for i := range maxNames + 1 {
			names = append(names, fmt.Sprintf("n%03d.example.com", i))
			z.name(names[i]+".", "203.0.113.1")
		}
		s.Want(names)
		synctest.Wait()
		if got := to.told(); len(to.objects) != maxNames || !strings.HasSuffix(got, "Error n100.example.com the name is not resolved, since there are more than 100 names of gateways; write addresses") {
			t.Errorf("%d names, %s", len(to.objects), got)
		}
	})
}

// TestSameFailure tells of a DNS that cannot be reached once, though each question goes out from another port.
func TestSameFailure(t *testing.T) {
	nobody := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", "127.0.0.1:9")
	}}
	s := New(nobody, slog.New(slog.DiscardHandler))
	s.Want([]string{"gw.example.com"})
	first := s.ask(t.Context(), "gw.example.com")
	s.take("gw.example.com", first)
	again := s.ask(t.Context(), "gw.example.com")
	if _, news := s.take("gw.example.com", again); news || first.failure == "" {
		t.Errorf("%q is told after %q", again.failure, first.failure)
	}
}
