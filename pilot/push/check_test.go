package push

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// TestCheckHealsWhatWentWrong spoils a view, as a forgotten dependency would.
func TestCheckHealsWhatWentWrong(t *testing.T) {
	var log bytes.Buffer
	f := storetest.NewFeed(t, nil, storetest.Service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}))
	d := newDriver(t)
	reg := prometheus.NewRegistry()
	d.engine = New(Options{Registerer: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	d.apply(f.Edit()...)
	c := join(t, d.engine, proxy(t, "a", "p", "10.0.0.1"))
	d.apply(f.Edit(storetest.Service("a", "other", "172.16.0.2", corev1.ServicePort{Name: "http", Port: 80}))...)
	good := c.now()
	c.told()
	d.engine.check("")
	if log.Len() > 0 || c.now() != good {
		t.Fatalf("a good view is found wrong: %s", &log)
	}
	const name = "outbound|80||web.a.svc.cluster.local"
	g := d.engine.classes[c.now().Class]
	spoilt := []*resource.Resource{}
	for r := range g.base[resource.Clusters].All() {
		if r.Name != name {
			spoilt = append(spoilt, r)
		}
	}
	g.base[resource.Clusters], g.covered = resource.NewSet(spoilt...), false
	g.compose(d.engine.pool)
	g.publish(cause{}, d.engine.pool)
	if c.now().Set(resource.Clusters).Get(name) != nil {
		t.Fatal("the view was not spoilt")
	}
	c.told()
	d.engine.unchecked = 1
	d.engine.check("")
	if got := c.now().Set(resource.Clusters).Get(name); got == nil || got.Version != good.Set(resource.Clusters).Get(name).Version || !c.told() {
		t.Error("the view is not healed")
	}
	if !strings.Contains(log.String(), name) || counted(t, reg, "pilot_push_check_differences_total") != 1 {
		t.Errorf("the difference is not told: %s", &log)
	}
}

// slowly is a Translator that takes its time to build a view from scratch.
type slowly struct {
	xdstest.Table
	takes  time.Duration
	builds *int
}

func (s slowly) FromScratch(c *resolve.Class) func() build.Result {
	return func() build.Result {
		*s.builds++
		time.Sleep(s.takes)
		return s.Result(c)
	}
}

func (s slowly) Discard(*resolve.Class) {}

func (s slowly) Patching(*resolve.Class, *resource.Resource, proto.Message) []model.MadeOf {
	return nil
}

// TestChecksRestAsTheyCost: what a comparison takes of a processor does not grow with the mesh.
func TestChecksRestAsTheyCost(t *testing.T) {
	for takes, want := range map[time.Duration]int{0: 120, 25 * time.Millisecond: 120, 150 * time.Millisecond: 20} {
		synctest.Test(t, func(t *testing.T) {
			builds := 0
			e := New(Options{})
			if err := e.Apply(t.Context(), Commit{Translator: slowly{takes: takes, builds: &builds}}); err != nil {
				t.Fatal(err)
			}
			join(t, e, proxy(t, "a", "p", "10.0.0.1"))
			e.unchecked = 1000
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+30*time.Second)
			defer cancel()
			if err := e.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if builds != want {
				t.Errorf("%d comparisons of %s each in two hours, not %d", builds, takes, want)
			}
		})
	}
}

// TestAStandstillIsTold holds the mutex of an engine, as a deadlock does.
func TestAStandstillIsTold(t *testing.T) {
	stalled := make(chan struct{})
	e := New(Options{Stalled: func() { close(stalled) }})
	e.mu.Lock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.bounded(time.Millisecond, e.settle)
	}()
	<-stalled
	e.mu.Unlock()
	<-ended
	e.bounded(time.Hour, e.settle) // which does not call it
}

func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return -1
}
