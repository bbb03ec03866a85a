package machine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	metav1alpha1 "istio.io/api/meta/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// api is an API server with one entry, whose condition Healthy its replicas write and watch.
type api struct {
	t        *testing.T
	mu       sync.Mutex
	now      *metav1alpha1.IstioCondition
	out      []string // each change of what proxies see: the condition's status, "" for none
	writes   int
	calls    int // of write, also those that change nothing
	replicas []*Registry
}

func (a *api) object() *model.Object {
	o := object("a", "10.0.0.1", "db", "TRUE") // as the store reads it
	if a.now != nil {
		o.Status = &metav1alpha1.IstioStatus{Conditions: []*metav1alpha1.IstioCondition{a.now}}
	}
	return o
}

// set changes the condition, and lets each replica see it.
func (a *api) set(c *metav1alpha1.IstioCondition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = c
	a.writes++
	if status := c.GetStatus(); len(a.out) == 0 || a.out[len(a.out)-1] != status {
		a.out = append(a.out, status)
	}
	for _, g := range a.replicas {
		g.Apply("kube", added(a.object()), nil)
	}
}

// write does what incluster does.
func (a *api) write(_ context.Context, c Change) error {
	a.mu.Lock()
	now := a.now
	a.calls++
	a.mu.Unlock()
	is := now != nil && now.LastProbeTime.AsTime().Equal(c.Since)
	switch {
	case c.Ask && is && now.Reason == model.ReasonHeard:
		a.set(&metav1alpha1.IstioCondition{Type: now.Type, Status: now.Status, Reason: model.ReasonAsked, LastProbeTime: now.LastProbeTime})
	case c.Ask:
	case c.Status != nil:
		text := map[bool]string{true: "True", false: "False"}[c.Status.Healthy]
		a.set(&metav1alpha1.IstioCondition{Type: model.ConditionHealthy, Status: text, Reason: model.ReasonHeard, LastProbeTime: timestamppb.New(c.Status.Probed)})
	case is:
		a.set(nil)
	}
	return nil
}

// replica starts one, which ends when stop is called: without a word, as one that is killed.
func (a *api) replica() (g *Registry, stop func()) {
	g = New(&sink{health: map[string]string{}}, Options{Write: a.write, Logger: slog.New(slog.DiscardHandler)})
	a.mu.Lock()
	a.replicas = append(a.replicas, g)
	g.Apply("kube", added(a.object()), nil)
	a.mu.Unlock()
	ctx, cancel := context.WithCancel(a.t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			a.t.Error(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for i, other := range a.replicas {
			if other == g {
				a.replicas = append(a.replicas[:i:i], a.replicas[i+1:]...)
			}
		}
	})
	a.t.Cleanup(stop)
	return g, stop
}

// wrote tells how often the condition was written since it was last asked.
func (a *api) wrote() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.writes
	a.writes = 0
	return n
}

func (a *api) want(what string, states ...string) {
	a.t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.out) != len(states) {
		a.t.Errorf("%s: proxies saw %q, want %q", what, a.out, states)
		return
	}
	for i := range states {
		if a.out[i] != states[i] {
			a.t.Errorf("%s: proxies saw %q, want %q", what, a.out, states)
		}
	}
}

const long = returning + answering + 5*round

func TestAMachineThatDiesWithItsReplicaIsOutOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{t: t}
		g, stop := a.replica()
		g.Health(says("1", true, nil))
		time.Sleep(2 * round)
		stop()
		a.replica()
		time.Sleep(returning + answering/2)
		a.want("before the time is over", "True")
		time.Sleep(answering)
		a.want("after", "True", "")
	})
}

func TestAMachineThatComesBackStaysInService(t *testing.T) {
	for _, after := range []time.Duration{round, returning - round, returning + answering/2} {
		synctest.Test(t, func(t *testing.T) {
			a := &api{t: t}
			g, stop := a.replica()
			g.Health(says("1", true, nil))
			time.Sleep(2 * round)
			stop()
			g, _ = a.replica()
			time.Sleep(after)
			g.Health(says("2", true, nil))
			time.Sleep(10 * recheck)
			a.want(after.String(), "True")
			if n := a.wrote(); n > 3 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

// TestReplicasDoNotFight has one that hears the machine, and others that start and end.
func TestReplicasDoNotFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{t: t}
		g, stop := a.replica()
		g.Health(says("1", true, nil))
		time.Sleep(2 * round)
		for range 3 {
			a.replica()
		}
		time.Sleep(long)
		a.want("three have started", "True")
		if n := a.wrote(); n > 3 {
			t.Errorf("%d writes: one, and one question with its answer", n)
		}
		time.Sleep(10*recheck + long)
		a.want("hours later", "True")
		if n := a.wrote(); n > 20 {
			t.Errorf("%d writes in ten rounds", n)
		}
		a.set(nil)
		time.Sleep(5 * round)
		a.want("somebody took it away", "True", "", "True")
		stop() // and no replica comes in its place
		time.Sleep(recheck + long)
		a.want("it is gone, with the machine", "True", "", "True", "")
	})
}

// TestTheLastThatHeardWins has a stream whose condition another replica has written over before it died.
func TestTheLastThatHeardWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{t: t}
		g, _ := a.replica()
		other, stop := a.replica()
		g.Health(says("1", true, nil))
		time.Sleep(2 * round)
		other.Health(says("2", false, nil))
		time.Sleep(2 * round)
		stop()
		time.Sleep(recheck + long)
		a.want("what is heard counts", "True", "False", "True")
	})
}

func TestOtherControlPlanesAreNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{t: t, now: &metav1alpha1.IstioCondition{Type: model.ConditionHealthy, Status: "True", LastProbeTime: timestamppb.Now()}}
		a.replica()
		time.Sleep(2*recheck + long)
		a.want("it stays")
		if a.calls > 0 {
			t.Errorf("%d calls", a.calls)
		}
	})
}

// TestManyAreAskedForInTurn has more machines than are asked for at once.
func TestManyAreAskedForInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // entries are written at once
		asked := map[string]int{}
		g, _ := start(t, func(_ context.Context, c Change) error {
			mu.Lock()
			defer mu.Unlock()
			if c.Ask {
				asked[c.Key.Name]++
			}
			return nil
		})
		for i := range 3 * asksAtOnce {
			o := object(fmt.Sprint("vm", i), "10.0.1.1", "db", "true")
			o.Status = &metav1alpha1.IstioStatus{Conditions: []*metav1alpha1.IstioCondition{
				{Type: model.ConditionHealthy, Status: "True", Reason: model.ReasonHeard, LastProbeTime: timestamppb.Now()},
			}}
			g.Apply("kube", added(o), nil)
		}
		want := func(after time.Duration, n int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(asked) != n {
				t.Errorf("%d are asked for, want %d", len(asked), n)
			}
		}
		want(returning+round/2, asksAtOnce)
		want(5*round, 3*asksAtOnce)
	})
}
