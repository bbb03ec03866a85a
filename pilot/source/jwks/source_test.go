package jwks

import (
	"context"
	"errors"
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
}

func (i *issuer) At(context.Context, string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asks++
	return i.keys, i.err
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
			s.objects[e.Key] = e.New.Spec.(*model.KeySet).Keys
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

func TestKeysStayWhenTheIssuerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &issuer{keys: "one"}, &sink{objects: map[model.Key]string{}}
		s := New(at, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{URL: "https://keys.example"}
		s.Want([]model.KeySetSource{w})
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

func TestAnIssuerNeverReachedIsAskedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, out := &issuer{err: errors.New("away\x1b[2J")}, &sink{objects: map[model.Key]string{}}
		s := New(at, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, out) }()
		w := model.KeySetSource{Issuer: "https://issuer.example"}
		s.Want([]model.KeySetSource{w})
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
	_, err := auth.KeySets{Client: NewClient(false)}.At(t.Context(), strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
	if err == nil || !strings.Contains(err.Error(), "not asked for keys") || asked {
		t.Errorf("%v", err)
	}
}
