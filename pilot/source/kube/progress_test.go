package kube

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// still gives a source that nothing runs, with kinds at version 5.
func still(t testing.TB, kinds ...string) *Source {
	t.Helper()
	s, err := New(&rest.Config{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		s.moved(kind, "5", false)
	}
	return s
}

// waiting lets somebody wait for versions for ten seconds at most, and tells afterwards what is lacking.
func waiting(t *testing.T, s *Source, to string) (ended *bool, lacking *seen.Versions) {
	t.Helper()
	versions, err := seen.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	ended, lacking = new(bool), new(seen.Versions)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		*lacking, _ = s.CatchUp(ctx, versions)
		*ended = true
	}()
	synctest.Wait()
	return ended, lacking
}

// A wait goes on as soon as nothing can come of it any more, whatever else is lacking, and not before.
func TestWaitsEndWithWhatTheyAreFor(t *testing.T) {
	const defs = "customresourcedefinitions.apiextensions.k8s.io"
	moved := func(kind, version string) func(*Source) {
		return func(s *Source) { s.moved(kind, version, false) }
	}
	for name, c := range map[string]struct {
		to    string
		steps []func(*Source) // the last ends the wait, no other does
	}{
		"in another order":          {"pods=7,services=6", []func(*Source){moved("services", "6"), moved("pods", "6"), moved("pods", "8")}},
		"the longer number":         {"pods=10", []func(*Source){moved("pods", "9"), moved("pods", "11")}},
		"other kinds":               {"pods=6", []func(*Source){moved("services", "9"), moved(defs, "9"), moved("pods", "6")}},
		"no number":                 {"pods=6", []func(*Source){moved("pods", "six")}},
		"no number of definitions":  {defs + "=6,apples=9", []func(*Source){moved(defs, "six")}},
		"the kind is no more":       {"pods=6", []func(*Source){func(s *Source) { s.progress.unfollow("pods") }}},
		"the definition never came": {defs + "=6,apples=9", []func(*Source){moved("pods", "9"), moved(defs, "6")}},
		"the definition came":       {defs + "=6,apples=9", []func(*Source){moved("apples", "2"), moved(defs, "6"), moved("apples", "9")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := still(t, "pods", "services", defs)
				ended, lacking := waiting(t, s, c.to)
				for i, step := range c.steps {
					if *ended {
						t.Fatalf("the wait had ended before step %d", i)
					}
					step(s)
					synctest.Wait()
				}
				if !*ended || len(*lacking) > 0 {
					t.Errorf("ended is %v, lacking %q", *ended, *lacking)
				}
			})
		})
	}
}

// However many wait and whatever they say, little is kept of it, and nothing of what is over.
func TestLittleIsKeptOfThoseWhoWait(t *testing.T) {
	const defs = "customresourcedefinitions.apiextensions.k8s.io"
	synctest.Test(t, func(t *testing.T) {
		s := still(t, "pods", "services", defs)
		kept := func() (marks, waiters int) {
			s.progress.mu.Lock()
			defer s.progress.mu.Unlock()
			for _, k := range s.progress.kinds {
				if len(k.marks) != len(k.byVersion) {
					t.Errorf("there are %d marks, by version %d", len(k.marks), len(k.byVersion))
				}
				for _, m := range k.marks {
					marks, waiters = marks+1, waiters+m.waiting
				}
			}
			return marks, waiters
		}
		invented := defs + "=99999999999999999999"
		for i := range 100 {
			invented += fmt.Sprintf(",invented%d=%d", i, 1000+i)
		}
		for range 100 {
			waiting(t, s, "pods=7,services=9")
			waiting(t, s, invented)
		}
		if marks, waiters := kept(); marks != 2 || waiters != 200 {
			t.Errorf("kept are %d marks of %d, wanted 2 of 200", marks, waiters)
		}
		s.moved("pods", "8", false)
		synctest.Wait()
		s.progress.mu.Lock()
		ofServices := len(s.progress.kinds["services"].marks)
		s.progress.mu.Unlock()
		if marks, waiters := kept(); marks != 2 || waiters != 200 || ofServices != 1 {
			t.Errorf("then kept are %d marks of %d, wanted one of services and one of definitions", marks, waiters)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if marks, waiters := kept(); marks+waiters > 0 || len(s.progress.kinds) != 3 {
			t.Errorf("kept are %d marks of %d after all waits, of %d kinds", marks, waiters, len(s.progress.kinds))
		}
	})
}

// What is still lacking is said at the end: all of it, and nothing else.
func TestAllIsSaidThatIsLacking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := still(t, "pods", "services", "namespaces")
		ended, lacking := waiting(t, s, "namespaces=5,pods=7,services=6,widgets=9")
		s.moved("services", "8", false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !*ended || lacking.String() != "pods=7" {
			t.Errorf("ended is %v, lacking %q, wanted pods=7", *ended, *lacking)
		}
	})
}

// BenchmarkChangeWhileManyWait tells what an event of a watch takes while 10,000 proxies, of 200 former views, wait
// for 40 kinds in vain.
func BenchmarkChangeWhileManyWait(b *testing.B) {
	const kinds = 40
	names := make([]string, kinds)
	for i := range names {
		names[i] = fmt.Sprintf("kind%d.example.com", i)
	}
	s := still(b, append(names, "pods")...)
	ctx, cancel := context.WithCancel(b.Context())
	var waits sync.WaitGroup
	defer waits.Wait()
	defer cancel()
	var begun sync.WaitGroup
	for i := range 10_000 {
		to := map[string]string{}
		for _, kind := range names {
			to[kind] = strconv.Itoa(1_000_000_000 + i%200)
		}
		begun.Add(1)
		waits.Go(func() {
			versions := seen.Of(to)
			begun.Done()
			_, _ = s.CatchUp(ctx, versions)
		})
	}
	begun.Wait()
	time.Sleep(time.Second) // so that all wait; a benchmark asserts nothing
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.mu.Lock()
		s.moved("pods", strconv.Itoa(1000+i), false)
		s.mu.Unlock()
	}
}

// BenchmarkNothingLacking tells what a proxy takes whose last replica had seen no more.
func BenchmarkNothingLacking(b *testing.B) {
	to := map[string]string{}
	for i := range 40 {
		to[fmt.Sprintf("kind%d.example.com", i)] = "1000000005"
	}
	s, versions := still(b), seen.Of(to)
	for kind, version := range to {
		s.moved(kind, version, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.CatchUp(b.Context(), versions)
	}
}
