package xds

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	dto "github.com/prometheus/client_model/go"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// doubter is a translator whose only seat is doubted, from the beginning or later, while its class stays.
type doubter struct {
	xdstest.Table
	seat  *build.Seat
	doubt string
}

func (d *doubter) Seat(p *model.Proxy) *build.Seat {
	d.seat = d.Table.Seat(p)
	d.seat.Doubt = d.doubt
	return d.seat
}

func (d *doubter) Advance(context.Context) (build.Work, error) {
	if d.seat == nil || d.seat.Doubt == d.doubt {
		return build.Work{}, nil
	}
	d.seat.Doubt = d.doubt
	return build.Work{Doubted: []*build.Seat{d.seat}}, nil
}

// TestDoubtsAreTold has a proxy doubted when it connects, or later: each doubt is logged once, whatever else happens,
// and the stream is counted once.
func TestDoubtsAreTold(t *testing.T) {
	const first, second = "it is another", "it is a third"
	for name, c := range map[string]struct {
		at     []string // the doubt that is at the beginning, and then after each commit
		logged []string
	}{
		"never":              {at: []string{"", ""}},
		"at the beginning":   {at: []string{first, first}, logged: []string{first}},
		"later":              {at: []string{"", "", first, first}, logged: []string{first}},
		"another":            {at: []string{first, second}, logged: []string{first, second}},
		"solved, and anew":   {at: []string{first, "", second}, logged: []string{first, second}},
		"solved at the last": {at: []string{first, ""}, logged: []string{first}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var log bytes.Buffer
				m := newMesh(t)
				m.server = New(Options{Source: m.engine, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				d := &doubter{Table: xdstest.Table{cluster("a", 1)}, doubt: c.at[0]}
				apply := func() {
					if err := m.engine.Apply(t.Context(), push.Commit{Translator: d}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				apply()
				client := m.connect(false, 9)
				client.subscribe(resource.Clusters)
				client.expect(resource.Clusters, "a")
				for _, d.doubt = range c.at[1:] {
					apply()
				}
				client.silent()
				m.stop(client)
				var counted dto.Metric
				if err := m.server.metrics.doubted.Write(&counted); err != nil {
					t.Fatal(err)
				}
				if got, want := counted.GetCounter().GetValue(), float64(min(1, len(c.logged))); got != want {
					t.Errorf("%v streams are counted, not %v", got, want)
				}
				if n := strings.Count(log.String(), "is not the pod"); n != len(c.logged) {
					t.Errorf("%d doubts are logged, not %v: %s", n, c.logged, &log)
				}
				for _, want := range c.logged {
					if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "proxy=pod.ns") {
						t.Errorf("the log has no doubt %q of the proxy: %s", want, &log)
					}
				}
			})
		})
	}
}
