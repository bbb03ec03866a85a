package build

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// driver brings commits of a store into a Builder.
type driver struct {
	t        testing.TB
	builder  *Builder
	seats    []*seated
	computed int
	work     Work // of the last commit
}

func newDriver(t testing.TB) *driver { return &driver{t: t, builder: New(Options{})} }

func (d *driver) apply(commits ...store.Commit) {
	d.t.Helper()
	for _, c := range commits {
		var err error
		if d.work, err = d.builder.Advance(d.t.Context(), c); err != nil {
			d.t.Fatal(err)
		}
		var live []*resolve.Class
		for _, s := range d.seats {
			live = append(live, &s.Class)
		}
		d.builder.Retain(live)
		d.computed += d.work.Computed
	}
}

// seated is a proxy with its class.
type seated struct {
	*Seat
	driver *driver
}

func (d *driver) join(p *model.Proxy) *seated {
	s := &seated{d.builder.Seat(p), d}
	d.seats = append(d.seats, s)
	s.now()
	return s
}

// now is what the proxy should have.
func (s *seated) now() Result { return s.driver.builder.Result(&s.Class) }

func (s *seated) set(t resource.Type) *resource.Set { return s.now().Sets[t] }

// outbound is the layer of what the proxy sends.
func (s *seated) outbound() *layer { return s.driver.builder.layers[s.Class.Key].below }
