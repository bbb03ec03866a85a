package push

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
)

// TestCheckHealsWhatWentWrong spoils a part, as a forgotten dependency would.
func TestCheckHealsWhatWentWrong(t *testing.T) {
	var log bytes.Buffer
	f := newFeed(t, service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}))
	d := newDriver(t)
	reg := prometheus.NewRegistry()
	d.engine = New(Options{Registerer: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	d.apply(f.edit()...)
	c := join(t, d.engine, proxy(t, "a", "p", "10.0.0.1", nil))
	d.apply(f.edit(service("a", "other", "172.16.0.2", corev1.ServicePort{Name: "http", Port: 80}))...)
	good := c.now()
	c.told()
	d.engine.check("")
	if log.Len() > 0 || c.now() != good {
		t.Fatalf("a good view is found wrong: %s", &log)
	}
	const name = "outbound|80||web.a.svc.cluster.local"
	for _, part := range d.pipeline.parts {
		made := part.result()
		made.sets[Clusters] = made.sets[Clusters].with([]entry{{name, nil}})
	}
	g := d.engine.groups[c.now().Class]
	g.rebuild(d.engine.translator, d.engine.pools)
	g.publish(time.Time{})
	if c.now().Set(Clusters).Get(name) != nil {
		t.Fatal("the view was not spoilt")
	}
	c.told()
	d.engine.unchecked = 1
	d.engine.check("")
	if got := c.now().Set(Clusters).Get(name); got == nil || got.Version != good.Set(Clusters).Get(name).Version || !c.told() {
		t.Error("the view is not healed")
	}
	if !strings.Contains(log.String(), name) || counted(t, reg, "pilot_push_check_differences_total") != 1 {
		t.Errorf("the difference is not told: %s", &log)
	}
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
