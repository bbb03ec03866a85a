package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// issuer answers with keys or an error.
type issuer struct {
	mu   sync.Mutex
	keys string
	err  error
	asks int
	hint time.Duration // of bundles
	next *uint64       // number of the bundle
}

func (i *issuer) At(context.Context, string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asks++
	return i.keys, i.err
}

func (i *issuer) Bundle(ctx context.Context, at string) (auth.Bundle, error) {
	root, err := i.At(ctx, at)
	i.mu.Lock()
	defer i.mu.Unlock()
	return auth.Bundle{Roots: []string{root}, Refresh: i.hint, Sequence: i.next}, err
}

func (i *issuer) Of(ctx context.Context, name string) (string, error) { return i.At(ctx, name) }

func (i *issuer) set(keys string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys, i.err = keys, err
}

// sink holds what it was given.
type sink struct {
	mu       sync.Mutex
	objects  map[model.Key]string
	problems []model.Problem
	applied  int // events
}

func (s *sink) Synced(string) {}

func (s *sink) Apply(_ string, events []model.Event, problems []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.applied++
		if e.New == nil {
			delete(s.objects, e.Key)
		} else {
			switch spec := e.New.Spec.(type) {
			case *model.KeySet:
				s.objects[e.Key] = spec.Keys
			case *model.SPIFFEBundle:
				s.objects[e.Key] = strings.Join(spec.Roots, " ")
			}
		}
	}
	s.problems = problems
}

// now gives what has come so far.
func (s *sink) now() *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &sink{objects: maps.Clone(s.objects), problems: s.problems, applied: s.applied}
}

func (s *sink) severity() model.Severity {
	if len(s.problems) == 0 {
		return ""
	}
	return s.problems[0].Severity
}

// usually wants a set in the time that is usual.
func usually(w model.KeySetSource) []model.KeySetFetch {
	return []model.KeySetFetch{{KeySetSource: w, Timeout: model.KeySetTimeout}}
}

// slowIssuer answers after a time.
type slowIssuer struct {
	issuer
	takes time.Duration
}

func (i *slowIssuer) At(ctx context.Context, url string) (string, error) {
	select {
	case <-time.After(i.takes):
		return i.issuer.At(ctx, url)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// A rule gives a slow issuer its time, as soon as it is written; what waits so long keeps nobody else waiting.
func TestASlowIssuerHasTheTimeOfItsRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &slowIssuer{issuer{keys: "late"}, 20 * time.Second}, &sink{objects: map[model.Key]string{}}
		s := New(at, 0, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{URL: "https://keys.example"}
		s.Want(usually(w))
		time.Sleep(time.Minute)
		if now := out.now(); len(now.objects) != 0 || now.severity() != model.SeverityError {
			t.Fatalf("in 5 s: %v %v", now.objects, now.problems)
		}
		wish := []model.KeySetFetch{{KeySetSource: w, Timeout: 30 * time.Second}}
		s.Want(wish)
		time.Sleep(21 * time.Second)
		if now := out.now(); now.objects[w.Key()] != "late" || len(now.problems) != 0 {
			t.Errorf("in 30 s: %v %v", now.objects, now.problems)
		}
		for i := range 4 * maxAtOnce { // all of which end by their time
			wish = append(wish, model.KeySetFetch{KeySetSource: model.KeySetSource{URL: fmt.Sprint("https://slow.example/", i)}, Timeout: 10 * time.Second})
		}
		other := model.KeySetSource{Issuer: "https://quick.example"}
		s.Want(append(wish, usually(other)...))
		synctest.Wait()
		if now := out.now(); now.objects[other.Key()] != "late" || now.objects[w.Key()] != "late" {
			t.Errorf("beside those that are slow: %v %v", now.objects, now.problems)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestKeysStayWhenTheIssuerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &issuer{keys: "one"}, &sink{objects: map[model.Key]string{}}
		s := New(at, 0, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{URL: "https://keys.example"}
		s.Want(usually(w))
		synctest.Wait()
		if now := out.now(); now.objects[w.Key()] != "one" {
			t.Fatalf("%v", now.objects)
		}
		at.set("", errors.New("away"))
		time.Sleep(refresh)
		synctest.Wait()
		if now := out.now(); now.objects[w.Key()] != "one" || now.severity() != model.SeverityWarning {
			t.Errorf("%v %v", now.objects, now.problems)
		}
		at.set("two", nil)
		time.Sleep(retryFirst)
		synctest.Wait()
		two := out.now()
		if two.objects[w.Key()] != "two" || len(two.problems) != 0 {
			t.Errorf("%v %v", two.objects, two.problems)
		}
		time.Sleep(refresh)
		synctest.Wait()
		if out.now().applied != two.applied {
			t.Error("the same keys are handed over again")
		}
		s.Want(nil)
		synctest.Wait()
		if now := out.now(); len(now.objects) != 0 {
			t.Errorf("%v stays", now.objects)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A bundle says itself how often it is fetched, within bounds.
func TestBundlesAreFetchedAsOftenAsTheyWish(t *testing.T) {
	for hint, wait := range map[time.Duration]time.Duration{
		0: refreshBundle, time.Second: refreshBundleFirst, -time.Hour: refreshBundleFirst, 10 * time.Minute: 10 * time.Minute, 1000 * time.Hour: refreshBundleLast,
	} {
		synctest.Test(t, func(t *testing.T) {
			at, out := &issuer{keys: "one", hint: hint}, &sink{objects: map[model.Key]string{}}
			s := New(at, 0, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx, out) }()
			w := model.KeySetSource{Bundle: "https://far.example/bundle"}
			s.Want(usually(w))
			synctest.Wait()
			at.set("two", nil)
			time.Sleep(wait - time.Millisecond)
			synctest.Wait()
			if got := out.now().objects[w.Key()]; got != "one" {
				t.Errorf("wish %v: it is %q too early", hint, got)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if got := out.now().objects[w.Key()]; got != "two" {
				t.Errorf("wish %v: it is %q after %v", hint, got, wait)
			}
			at.set(strings.Repeat("x", model.MaxSPIFFEBundle+1), nil) // no agent would take it
			time.Sleep(wait)
			synctest.Wait()
			if now := out.now(); now.objects[w.Key()] != "two" || now.severity() != model.SeverityWarning {
				t.Errorf("wish %v: %v while it is too long", hint, now.problems)
			}
			at.set("", errors.New("away"))
			time.Sleep(retryFirst)
			synctest.Wait()
			if now := out.now(); now.objects[w.Key()] != "two" || now.severity() != model.SeverityWarning {
				t.Errorf("wish %v: %v %v while it is away", hint, now.objects, now.problems)
			}
			cancel()
			<-done
		})
	}
}

// A bundle that is older than the one before is refused: it could bring back a root that was taken back.
func TestAnOlderBundleIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &issuer{}, &sink{objects: map[model.Key]string{}}
		s := New(at, 0, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{Bundle: "https://far.example/bundle"}
		for i, step := range []struct {
			root   string
			number uint64
			none   bool
			want   string
		}{
			{"a", 4, false, "a"},
			{"b", 5, false, "b"},
			{"a", 4, false, "b"},
			{"a", 0, false, "b"},
			{"c", 5, false, "c"}, // the same number says nothing
			{"d", 0, true, "d"},  // nor does none
			{"a", 4, false, "d"},
			{"e", 9, false, "e"},
		} {
			at.mu.Lock()
			at.keys, at.next = step.root, &step.number
			if step.none {
				at.next = nil
			}
			at.mu.Unlock()
			if i == 0 {
				s.Want(usually(w))
			}
			time.Sleep(refreshBundle + retryLast)
			synctest.Wait()
			now := out.now()
			if got := now.objects[w.Key()]; got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
			if refused := step.root != step.want; refused != (now.severity() == model.SeverityWarning) {
				t.Errorf("step %d: problems %v", i, now.problems)
			}
		}
		cancel()
		<-done
	})
}

func TestAnIssuerNeverReachedIsAskedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &issuer{err: errors.New("away\x1b[2J")}, &sink{objects: map[model.Key]string{}}
		s := New(at, 0, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{Issuer: "https://issuer.example"}
		s.Want(usually(w))
		none := func(model.Key) bool { return false }
		if !s.Pending(none) {
			t.Error("nothing was tried, and nothing is waited for")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if now := out.now(); s.Pending(none) || now.severity() != model.SeverityError || strings.Contains(now.problems[0].Message, "\x1b") {
			t.Errorf("%v", now.problems)
		}
		if at.asks < 10 || at.asks > 25 {
			t.Errorf("it was asked %d times in an hour", at.asks)
		}
		cancel()
		<-done
	})
}

// Whoever writes a RequestAuthentication makes the control plane ask a URL: it asks nothing that only the
// control plane reaches.
func TestAddressesThatAreNotAsked(t *testing.T) {
	for address, closed := range map[string]bool{
		"127.0.0.1": true, "::1": true, "0.0.0.0": true, "::": true, "0.1.2.3": true, "169.254.169.254": true, "fe80::1": true, "224.0.0.1": true,
		"::ffff:127.0.0.1": true, "64:ff9b::7f00:1": true, "64:ff9b::a9fe:a9fe": true, "100.100.100.200": true, "168.63.129.16": true, "fd00:ec2::254": true,
		"192.0.0.192": true, "255.255.255.255": true, "ff02::1": true, "8.8.8.8": false, "2001:db8::1": false, "10.0.0.1": false, "fd12::1": false,
	} {
		if err := checkAddress(netip.MustParseAddr(address), false); (err != nil) != closed {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, private := range []string{"10.0.0.1", "192.168.1.1", "172.16.0.1", "fd12::1", "100.64.0.1", "::ffff:10.0.0.1"} {
		if checkAddress(netip.MustParseAddr(private), true) == nil {
			t.Errorf("%s is asked although private addresses are closed", private)
		}
	}
}

func TestTheClientChecksWhereANameLeads(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	here := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	keys := auth.KeySets{Client: NewClient(false)}
	_, err := keys.At(t.Context(), here)
	_, ofBundle := keys.Bundle(t.Context(), strings.Replace(here, "http:", "https:", 1))
	for _, err := range []error{err, ofBundle} {
		if err == nil || !strings.Contains(err.Error(), "not asked for keys") || asked {
			t.Errorf("%v", err)
		}
	}
}
