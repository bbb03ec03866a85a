package random

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

var (
	seeds   = flag.Int("seeds", 24, "how many seeds to run")
	first   = flag.Int("seed", 0, "the first seed; with -seeds 1 to see one failure again")
	replays = flag.Int("replays", 2, "of how many seeds to replay the clients' part to a real Envoy")
)

// Steps of a seed, how many of them lie between two quiet points, and of how many seeds one is calm:
// it comes to rest after every edit, so that no later one hides what an edit should have changed.
const (
	steps   = 240
	quietly = 60
	calmly  = 4
)

// world is a mesh with its clients in a bubble of fake time.
type world struct {
	*plane
	rng       *rand.Rand
	edit      *editor
	seed      uint64
	step      int
	clients   []*client
	former    []*client // whose Envoys are no more
	drainTime time.Duration
	calm      bool
	edited    bool // by the last step
	// badness is one in how many resources is refused; 0 for none. refused are those that were, at
	// any time, or that a client met as refused.
	badness uint32
	refused map[resourceID]bool
}

func TestRandom(t *testing.T) {
	read := &contents{byID: map[string]*content{}}
	for i := range *seeds {
		seed := uint64(*first + i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed, read).run() })
		})
	}
}

func newWorld(t *testing.T, seed uint64, read *contents) *world {
	rng := rand.New(rand.NewPCG(seed, 4))
	w := &world{
		plane: &plane{t: t, objects: map[model.Key]*model.Object{}, read: read},
		rng:   rng, edit: &editor{t, rng}, seed: seed, refused: map[resourceID]bool{}, drainTime: drainTime,
	}
	if seed%2 == 1 {
		w.badness = 40
	}
	w.calm = seed%(2*calmly) < 2 // with refusals and without
	for _, o := range w.edit.start() {
		w.objects[o.Key] = o
	}
	return w
}

// run takes the world through all steps.
func (w *world) run() {
	w.start(w.rng)
	defer w.end()
	synctest.Wait()
	for i := range sidecars + routers {
		w.clients = append(w.clients, w.newClient(i))
	}
	for w.step = range steps {
		w.move()
		synctest.Wait()
		switch {
		case w.step%quietly == quietly-1:
			w.quiet()
			w.checkAll()
			w.quiet()
			w.compare()
		case w.calm && w.edited:
			w.quiet()
			w.compare()
		}
	}
}

func (w *world) end() {
	for _, c := range w.clients {
		c.drop()
	}
	w.server.Wait()
	w.stop()
}

// move makes one random step.
func (w *world) move() {
	c := w.clients[w.rng.IntN(len(w.clients))]
	w.edited = false
	switch w.rng.IntN(20) {
	case 0, 1, 2, 3:
		w.edited = true
		w.put(w.edit.objects()...)
	case 4:
		if key, ok := w.edit.victim(w.objects); ok {
			w.edited = true
			w.remove(key)
		}
	case 5:
		c.lose()
	case 6:
		c.stall = !c.stall
	case 7:
		time.Sleep([]time.Duration{time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond, 6 * time.Second, 40 * time.Second}[w.rng.IntN(5)])
	case 8:
		if w.rng.IntN(4) == 0 {
			w.restart()
		}
	case 9:
		if w.rng.IntN(4) == 0 { // an Envoy starts anew
			i := slices.Index(w.clients, c)
			c.drop()
			w.former = append(w.former, c)
			w.clients[i] = w.newClient(i)
		}
	default:
		switch {
		case c.link == nil:
			c.open()
		case !c.stall:
			for range 1 + w.rng.IntN(3) {
				c.turn()
				synctest.Wait()
			}
		}
	}
}

func (w *world) restart() {
	for _, c := range w.clients {
		c.drop()
	}
	w.server.Wait()
	w.stop()
	w.start(w.rng)
}

// quiet lets everything come to rest.
func (w *world) quiet() {
	rest := time.Duration(0)
	for range 4000 {
		moved := false
		for _, c := range w.clients {
			c.stall = false
			if c.link == nil {
				c.open()
				moved = true
			}
			synctest.Wait()
			for c.turn() {
				moved = true
				synctest.Wait()
			}
			c.tick()
		}
		if moved {
			rest = 0
			continue
		}
		if rest > push.CheckEvery { // the time in which problems go whose last proxy went
			return
		}
		time.Sleep(time.Second)
		rest += time.Second
		synctest.Wait()
	}
	w.t.Fatalf("seed %d, step %d: does not come to rest", w.seed, w.step)
}

// tick lets drained listeners go.
func (c *client) tick() {
	if c.initialized {
		c.settle()
	}
}

// compare asserts that every client has what a fresh server would give it.
func (w *world) compare() {
	fresh := w.fresh()
	for _, c := range w.clients {
		want, got := c.viewAt(fresh), c.viewAt(w.epoch(w.latest()))
		for t := range want {
			if !maps.EqualFunc(want[t], got[t], func(a, b *content) bool { return a.hash == b.hash }) {
				c.fail("the store's last snapshot gives other %ss than a fresh one: %s", xdsres.Type(t), different(want[t], got[t]))
			}
		}
		w.compareClient(c, want)
	}
	w.compareProblems(fresh)
}

func different(want, got map[string]*content) string {
	var out []string
	for n, c := range want {
		if got[n] == nil {
			out = append(out, "without "+n)
		} else if got[n].hash != c.hash {
			out = append(out, n+" differs")
		}
	}
	for n := range got {
		if want[n] == nil {
			out = append(out, "also "+n)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
