package kube

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

// faulty is a source of an API server on which questions go wrong, in a bubble of its own time.
type faulty struct {
	*watchedSource
	api    *kubetest.Server
	faults *kubetest.Faults
}

// inTime runs a test of a source of an API server that has two Services and a route.
func inTime(t *testing.T, before func(*kubetest.Faults), then func(*faulty)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		api := kubetest.Unserved(routes)
		api.Put(kubetest.Definitions, definition(routesDefinition))
		api.Put(routes, route("cart", "cart"))
		api.Put("v1/services", service("cart"))
		api.Put("v1/services", service("stock"))
		faults, config := api.Faulty(t)
		before(faults)
		then(&faulty{runOf(t, config, Options{}), api, faults})
	})
}

func none(*kubetest.Faults) {}

// after lets time pass, and takes what is delivered.
func (f *faulty) after(d time.Duration) {
	f.Helper()
	time.Sleep(d)
	synctest.Wait()
	for len(f.sink.calls) > 0 {
		(<-f.sink.calls)(&f.state)
	}
}

// knows compares the Services and routes that are served with those wanted.
func (f *faulty) knows(when string, want ...string) {
	f.Helper()
	got := []string{}
	for key := range f.objects {
		if key.Kind == model.KindService || key.Kind == model.KindVirtualService {
			got = append(got, string(key.Kind)+" "+key.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		f.Errorf("%s: %v, wanted %v", when, got, want)
	}
}

// degraded tells whether it is reported that the API server fails.
func (f *faulty) degraded() bool {
	return slices.ContainsFunc(f.problems, func(p model.Problem) bool { return p.Reason == model.ReasonDegraded })
}

const (
	cart, stock, pay = "Service cart", "Service stock", "Service pay"
	cartRoute        = "VirtualService cart"
)

// meanwhile changes Services: one goes, and another one comes.
func (f *faulty) meanwhile() {
	f.api.Remove("v1/services", service("stock"))
	f.api.Put("v1/services", service("pay"))
}

// TestNothingIsLostByFaults: whatever goes wrong with the questions for a kind, what is known stays, the other kinds go
// on, and then all that happened meanwhile is known.
func TestNothingIsLostByFaults(t *testing.T) {
	refused := func(code int, reason string) [2]http.HandlerFunc {
		return [2]http.HandlerFunc{kubetest.Refuse(code, reason), kubetest.Refuse(code, reason)}
	}
	for name, c := range map[string]struct {
		faults [2]http.HandlerFunc // of watches, and of lists
		// listed says that lists give what the watches do not, so that nothing is missing.
		listed bool
		// told says that the fault is reported.
		told bool
		// late says that nobody can tell that something is wrong but by the time that it takes.
		late bool
	}{
		"a watch is refused as too old":   {faults: [2]http.HandlerFunc{kubetest.Refuse(http.StatusGone, "Expired")}, listed: true},
		"a watch ends as too old":         {faults: [2]http.HandlerFunc{kubetest.Expired}, listed: true},
		"too old, and no list":            {faults: [2]http.HandlerFunc{kubetest.Expired, kubetest.Refuse(http.StatusServiceUnavailable, "ServiceUnavailable")}, told: true},
		"a watch breaks off in an object": {faults: [2]http.HandlerFunc{half}, listed: true},
		"a watch tells nothing":           {faults: [2]http.HandlerFunc{kubetest.Silent}, late: true},
		"nothing is answered":             {faults: [2]http.HandlerFunc{kubetest.Hang, kubetest.Hang}, late: true},
		"nothing but errors":              {faults: refused(http.StatusInternalServerError, "InternalError"), told: true},
		"the kind seems not to be there":  {faults: refused(http.StatusNotFound, "NotFound"), told: true},
		"it may not be read any more":     {faults: refused(http.StatusForbidden, "Forbidden"), told: true},
		"there are too many questions":    {faults: refused(http.StatusTooManyRequests, "TooManyRequests"), told: true},
		"answers of something else":       {faults: [2]http.HandlerFunc{garbage, garbage}, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, none, func(f *faulty) {
				f.after(time.Second)
				f.knows("at first", cart, stock, cartRoute)
				f.faults.Answer("watch v1/services", c.faults[0])
				f.faults.Answer("list v1/services", c.faults[1])
				f.api.Set(func(*kubetest.Server) {}) // ends the watches
				f.after(20 * time.Second)
				f.meanwhile()
				f.api.Remove(routes, route("cart", "cart"))
				f.after(time.Minute)
				if c.listed {
					f.knows("while watches go wrong", cart, pay)
				} else {
					f.knows("while questions go wrong", cart, stock)
				}
				if f.degraded() != c.told {
					f.Errorf("reported is %v", f.problems)
				}
				f.faults.Answer("watch v1/services", nil)
				f.faults.Answer("list v1/services", nil)
				if c.late {
					f.after(11 * time.Minute)
				} else {
					f.after(10 * time.Second)
				}
				f.knows("then", cart, pay)
				if f.degraded() {
					f.Errorf("reported is still %v", f.problems)
				}
			})
		})
	}
}

// garbage is what answers in the place of an API server that is away.
func garbage(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }

// half begins a watch that breaks off.
func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"type":"DELETED","object":{"kind":"Service","metadata":{"na`))
}

// TestASlowAPIServer takes half a minute for each list: nothing is complete before, and nothing is taken away when it
// is asked again.
func TestASlowAPIServer(t *testing.T) {
	slow := func(faults *kubetest.Faults) {
		faults.Answer("list v1/services", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(30 * time.Second)
			faults.Mended(w, r)
		})
	}
	inTime(t, slow, func(f *faulty) {
		f.after(29 * time.Second)
		f.knows("while Services are listed", cartRoute)
		if f.synced {
			t.Error("it is said that all is known, without Services")
		}
		f.after(2 * time.Second)
		f.knows("after the list", cart, stock, cartRoute)
		if !f.synced {
			t.Error("it is not said that all is known")
		}
		f.after(time.Minute)
		f.faults.Answer("watch v1/services", kubetest.Expired)
		f.api.Set(func(*kubetest.Server) {})
		f.after(time.Second)
		f.faults.Answer("watch v1/services", nil)
		f.meanwhile()
		f.after(20 * time.Second)
		f.knows("while they are listed again", cart, stock, cartRoute)
		f.after(time.Minute)
		f.knows("after that", cart, pay, cartRoute)
	})
}

// TestAnAPIServerThatWasPutBack has an older state, and tells whoever goes on from a newer version of nothing.
func TestAnAPIServerThatWasPutBack(t *testing.T) {
	inTime(t, none, func(f *faulty) {
		f.after(time.Second)
		for range 10 {
			f.api.Put("v1/services", service("pay"))
		}
		f.after(time.Second)
		f.knows("at first", cart, pay, stock, cartRoute)
		f.api.Rewind(7, func(s *kubetest.Server) {
			s.Objects["v1/services"] = map[string]kubetest.Object{}
		})
		f.api.Put("v1/services", service("stock"))
		f.after(time.Minute)
		f.knows("after it was put back", stock, cartRoute)
		f.api.Put("v1/services", service("cart"))
		f.after(time.Second)
		f.knows("after a change, of a version that was there before", cart, stock, cartRoute)
		if f.degraded() {
			f.Errorf("reported is %v", f.problems)
		}
	})
}

// TestAKindIsGoneWithItsDefinition, and not before, whatever its own lists say.
func TestAKindIsGoneWithItsDefinition(t *testing.T) {
	inTime(t, none, func(f *faulty) {
		f.after(time.Second)
		away := kubetest.Refuse(http.StatusNotFound, "NotFound")
		f.faults.Answer("watch "+routes, away)
		f.faults.Answer("list "+routes, away)
		f.api.Set(func(*kubetest.Server) {})
		f.after(time.Minute)
		f.knows("while it is not found", cart, stock, cartRoute)
		if !f.degraded() {
			f.Error("it is not reported")
		}
		f.api.Remove(kubetest.Definitions, definition(routesDefinition))
		f.after(time.Second)
		f.knows("without its definition", cart, stock)
		if f.degraded() {
			f.Errorf("reported is still %v", f.problems)
		}
		f.api.Put(kubetest.Definitions, definition(routesDefinition))
		f.after(time.Minute)
		f.faults.Answer("watch "+routes, nil)
		f.faults.Answer("list "+routes, nil)
		f.after(10 * time.Second)
		f.knows("with it again", cart, stock, cartRoute)
	})
}

// TestAKindMayGoWithoutAWord: where definitions may not be read, its own lists are all that tells.
func TestAKindMayGoWithoutAWord(t *testing.T) {
	unread := func(faults *kubetest.Faults) {
		faults.Answer("list "+kubetest.Definitions, kubetest.Refuse(http.StatusForbidden, "Forbidden"))
	}
	inTime(t, unread, func(f *faulty) {
		f.after(time.Second)
		f.knows("at first", cart, stock, cartRoute)
		f.api.Set(func(s *kubetest.Server) { delete(s.Objects, routes) })
		f.after(time.Minute)
		f.knows("without the kind", cart, stock)
		away := kubetest.Refuse(http.StatusNotFound, "NotFound")
		f.faults.Answer("watch v1/services", away)
		f.faults.Answer("list v1/services", away)
		f.api.Set(func(*kubetest.Server) {})
		f.after(time.Minute)
		f.knows("while a proxy before the API server does not find Services", cart, stock)
		if !f.degraded() {
			f.Error("it is not reported")
		}
	})
}
