package build

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// editProxies are proxies of all namespaces, zones and types.
func editProxies() []*model.Proxy {
	var out []*model.Proxy
	for i, ns := range editNamespaces {
		for n := range 6 {
			p := storetest.Sidecar(ns, strconv.Itoa(n), fmt.Sprintf("10.0.%d.%d", i, n))
			p.DNSCapture = n%2 == 0
			p.Locality.Region = "r" + strconv.Itoa(1+n%2)
			p.Network = []string{"n1", "n2", ""}[n%3]
			if n == 4 {
				p.NetworkView = []string{"n1"}
			}
			if n == 5 {
				p.Type, p.Secrets = model.RouterProxy, i%2 == 0 || ns == "istio-system"
			}
			out = append(out, p)
		}
	}
	return out
}

// fromScratch gives a function that tells what a new Builder has for a proxy, where no class has anything
// in common with others.
func fromScratch(t testing.TB, c store.Commit, options Options) func(p *model.Proxy) (Result, string) {
	c.Full, options.Alone = true, true
	b := New(options)
	if _, err := b.Advance(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return func(p *model.Proxy) (Result, string) {
		seat := b.Seat(p)
		return b.Result(&seat.Class), seat.Class.Key
	}
}

// TestIncrementalEqualsFromScratch edits at random, and compares what every proxy should have after each
// step with what a new Builder gives. A failure names the seed, by which the subtest is run again.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	seeds := uint64(editSeeds)
	if testing.Short() {
		seeds /= 4
	}
	for seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			if difference := (history{seed: seed}).run(t); difference != "" {
				t.Fatal(difference)
			}
		})
	}
}

const editSeeds, editSteps = 16, 40

// history is a run of random edits.
type history struct {
	seed    uint64
	options Options
	tables  []store.Index                     // beside those of the product
	more    func(e editor) *model.Object      // what is edited beside the product's kinds; nil for nothing
	after   func(d *driver, rows []store.Row) // is called before a commit is taken; nil for nothing
}

// run gives the first difference from what a new Builder gives, or "".
func (h history) run(t *testing.T) string {
	e := editor{rand.New(rand.NewPCG(h.seed, 0))}
	f, d, proxies := storetest.NewFeed(t, h.tables), newDriver(t), editProxies()
	d.builder = New(h.options)
	d.apply(f.Edit()...)
	for step := range editSteps {
		var objects []*model.Object
		for range 1 + e.IntN(4) {
			o := e.object()
			if h.more != nil && e.IntN(2) == 0 {
				o = h.more(e)
			}
			if e.IntN(4) == 0 {
				o = &model.Object{Key: o.Key}
			}
			objects = append(objects, o)
		}
		commits := f.Edit(objects...)
		for _, c := range commits {
			if h.after != nil {
				h.after(d, c.Rows)
			}
			d.apply(c)
		}
		for len(d.seats) < len(proxies) && len(d.seats) < 2*(step+1) { // they come one after the other
			d.join(proxies[len(d.seats)])
		}
		scratch := fromScratch(t, commits[len(commits)-1], h.options)
		for _, s := range d.seats {
			want, class := scratch(s.Proxy)
			difference := differ(s.now(), want)
			if s.Class.Key != class {
				difference = "another class"
			}
			if difference != "" {
				edits := ""
				for _, o := range objects {
					edits += fmt.Sprintf("edit: %v %v\n", o.Key, o.Spec)
				}
				return fmt.Sprintf("%sstep %d, %s: %s", edits, step, s.Proxy.ID, difference)
			}
		}
	}
	return ""
}

// differ describes the first difference of two results.
func differ(got, want Result) string {
	for typ := range resource.NumTypes {
		g, w := got.Sets[typ], want.Sets[typ]
		for r := range w.All() {
			switch x := g.Get(r.Name); {
			case x == nil:
				return fmt.Sprintf("%s %s is missing", typ, r.Name)
			case !slices.Equal(x.Frame(true), r.Frame(true)):
				a, _ := x.Message()
				b, _ := r.Message()
				return fmt.Sprintf("%s %s: incremental\n%v\nfrom scratch\n%v", typ, r.Name, a, b)
			}
		}
		for r := range g.All() {
			if w.Get(r.Name) == nil {
				return fmt.Sprintf("%s %s is too much", typ, r.Name)
			}
		}
		if g.Version() != w.Version() || g.Len() != w.Len() || g.Bytes() != w.Bytes() {
			return fmt.Sprintf("%s: totals differ", typ)
		}
	}
	if !slices.Equal(got.Shared, want.Shared) || !slices.Equal(got.Own, want.Own) {
		return fmt.Sprintf("problems\n%v\n%v\nfrom scratch\n%v\n%v", got.Shared, got.Own, want.Shared, want.Own)
	}
	return ""
}
