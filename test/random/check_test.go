package random

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// checkAll lets the engine check itself: each minute it compares the view of one class of clients
// with one that is built from scratch, and logs a difference as an error, which fails the test (see
// faults). The time is enough for a class of each client.
func (w *world) checkAll() {
	for range len(w.clients) + 1 {
		time.Sleep(push.CheckEvery)
		synctest.Wait()
	}
}

// metric is the value of one that has no labels.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// seenByAll is a service of which every class hears, by its port.
const seenByAll = `apiVersion: v1
kind: Service
metadata: {name: seen, namespace: a, annotations: {networking.istio.io/exportTo: "*"}}
spec: {clusterIP: 10.96.1.9, ports: [{name: http, port: %d}]}`

// The engine's check of itself goes round all classes of routers after each edit that concerns them.
func TestRoutersAreChecked(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, &contents{byID: map[string]*content{}})
			w.badness = 0
			w.start(w.rng)
			defer w.end()
			for i := range routers {
				w.clients = append(w.clients, w.newClient(sidecars+i))
			}
			w.quiet()
			several := false
			for i := range 12 {
				w.put(w.edit.objects()...)
				w.quiet()
				before := w.metric("pilot_push_checks_total")
				w.put(decode(t, fmt.Sprintf(seenByAll, 7000+i))...)
				w.quiet()
				w.checkAll()
				checks, classes := w.metric("pilot_push_checks_total")-before, w.metric("pilot_push_views")
				if checks < classes {
					t.Fatalf("seed %d: %v checks of %v classes of routers", seed, checks, classes)
				}
				several = several || classes > 1
			}
			if !several {
				t.Errorf("seed %d: there is one class of routers at most", seed)
			}
		})
	}
}
