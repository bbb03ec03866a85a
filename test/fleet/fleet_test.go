package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

var (
	envoys   = flag.Int("envoys", 6, "how many Envoys take part")
	rounds   = flag.Int("rounds", 36, "how many rounds of edits and a fault there are")
	seed     = flag.Uint64("seed", 1, "what decides on edits and faults")
	interval = flag.Duration("interval", 30*time.Millisecond, "from one request to the next, for each Envoy and service")
)

// Ports of the services: one that is shared, one whose protocol is TCP, and the first of those that
// a service has for itself while it is there.
const sharedPort, rawPort, ownPort = 9080, 9090, 9100

func TestNoRequestFailsWhateverHappensToTheControlPlane(t *testing.T) {
	f := newFleet(t)
	f.converge()
	plan := f.plan()
	for i := range *rounds {
		f.turn(plan[i%len(plan)], plan)
		if t.Failed() {
			t.Fatalf("in round %d", f.round)
		}
	}
	f.finish()
}

// fleet is Envoys, their mesh and its control plane.
type fleet struct {
	*mesh
	plane   *plane
	faults  *faults
	history *history
	proxies []*proxy
	rng     *rand.Rand
	comers  []*service // services that come and go, the oldest first
	came    int
}

// newFleet starts everything, and requests to the services that stay.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{mesh: newMesh(t), rng: rand.New(rand.NewPCG(*seed, 0)), history: &history{events: map[string][]event{}}}
	for i := range 3 {
		f.add(fmt.Sprintf("web-%d", i), sharedPort)
	}
	f.add("raw", rawPort).tcp = true
	f.write()
	f.plane = newPlane(t, f.dir, f.block+".0.254:"+planePort)
	f.faults = &faults{plane: f.plane, happened: true}
	gate := envoytest.NewGate(t, f.plane.settings.Addr, envoytest.NewSecrets(t))
	gate.Filter(func(x *envoytest.Exchange) envoytest.Verdict {
		verdict := envoytest.Pass
		if typ, ok := resource.ByURL(x.Response.GetTypeUrl()); ok {
			if err := adapt(x.Response, strings.Split(x.Link.Node, "~")[1]); err != nil {
				t.Error(err)
			}
			verdict = f.faults.decide(x.Link.Node, typ)
		}
		f.history.note(x, verdict)
		return verdict
	})
	for n := range *envoys {
		f.proxies = append(f.proxies, startProxy(t, gate, fmt.Sprintf("%s.0.%d", f.block, n+1), n))
	}
	for _, s := range f.sorted() {
		f.call(s)
	}
	return f
}

// call starts requests to a service through each Envoy, once it is there.
func (f *fleet) call(s *service) {
	f.t.Helper()
	for _, p := range f.proxies {
		envoytest.Eventually(f.t, s.name+" answers", func() bool { f.plane.start(); return p.reaches(s) })
		p.call(f.t, s, *interval)
	}
}

// plan is each kind of fault at each stage, in some order; nil is the control plane killed while
// the edits are written.
func (f *fleet) plan() []*fault {
	out := []*fault{nil, nil}
	for _, stage := range []resource.Type{resource.Clusters, resource.Endpoints, resource.Listeners, resource.Routes} {
		for _, after := range []bool{false, true} {
			out = append(out, &fault{stage: stage, after: after}, &fault{kill: true, stage: stage, after: after})
		}
	}
	f.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// arm makes a fault happen, and sometimes one of the plan after it. It tells which.
func (f *fleet) arm(next fault, plan []*fault) string {
	next.nth = 1 + f.rng.IntN(len(f.proxies))
	if then := plan[f.rng.IntN(len(plan))]; next.kill && then != nil {
		second := *then
		second.nth = 1 + f.rng.IntN(len(f.proxies))
		next.then = &second
	}
	f.faults.arm(&next)
	return next.String()
}

// turn is one round: edits, and a fault of the plan.
func (f *fleet) turn(what *fault, plan []*fault) {
	f.t.Helper()
	f.round++
	began, stage, story := time.Now(), resource.Routes, "the control plane is killed at once"
	if what != nil {
		stage, story = what.stage, f.arm(*what, plan)
	}
	f.settle()
	edits, comer := f.edit(stage)
	f.write()
	if what == nil {
		f.plane.kill()
	}
	f.converge()
	f.faults.arm(nil)
	f.plane.start() // the last fault may have come after all was there
	if comer != nil {
		f.call(comer)
	}
	if f.round%5 == 0 {
		f.reap()
	}
	f.t.Logf("round %d, %v: %s; %s", f.round, time.Since(began).Round(time.Millisecond), edits, story)
}

// converge waits until each Envoy has the round's state and its fault has happened. A control plane
// that was killed is started again.
func (f *fleet) converge() {
	f.t.Helper()
	f.until("all Envoys have the state of the round", func() string {
		f.plane.start()
		for _, p := range f.proxies {
			if missing := p.behind(f.mesh); missing != "" {
				return p.address + ": " + missing
			}
		}
		if !f.faults.over() {
			return "the fault does not happen"
		}
		return ""
	})
}

// until waits until nothing is missing; where that never comes the test's log has what it was.
func (f *fleet) until(what string, missing func() string) {
	f.t.Helper()
	last := ""
	defer func() {
		if last != "" {
			f.t.Logf("in round %d it is missing: %s", f.round, last)
		}
	}()
	envoytest.Eventually(f.t, what, func() bool { last = missing(); return last == "" })
}

// reap ends the backends that are retired and that no Envoy knows any more.
func (f *fleet) reap() {
	f.t.Helper()
	var known strings.Builder
	for _, p := range f.proxies {
		known.WriteString(p.Get("/clusters"))
	}
	var stay []*pod
	for _, b := range f.retired {
		if strings.Contains(known.String(), fmt.Sprintf("::%s:%d::", b.address, b.port)) {
			stay = append(stay, b)
			continue
		}
		b.stop(f.t)
	}
	f.retired = stay
}

// finish checks that no request failed, and that each Envoy has what a fresh one gets.
func (f *fleet) finish() {
	f.t.Helper()
	total, failed := 0, 0
	for _, p := range f.proxies {
		for name := range p.loads {
			p.hangUp(name)
		}
		for _, l := range p.ended {
			n, bad, last := l.Result()
			if total, failed = total+n, failed+bad; bad > 0 {
				f.t.Errorf("%s: %d of %d requests failed, the last at %s: %v; before:\n%s", p.address, bad, n,
					last.At.Format("15:04:05.000"), last.Err, f.history.around(p.config.Node, last.At))
			}
		}
	}
	f.t.Logf("%d requests through %d Envoys, %d failed; the control plane was killed %d times, streams were cut %d times",
		total, len(f.proxies), failed, f.plane.kills, f.faults.cuts)
	for _, p := range f.proxies {
		fresh := envoytest.Run(f.t, p.config)
		f.until(p.address+" has what a fresh one gets", func() string { return p.compare(fresh) })
		fresh.Stop()
		for _, stat := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"} {
			if n := p.Stat(stat); n != 0 {
				f.t.Errorf("%s: %s is %d", p.address, stat, n)
			}
		}
	}
	envoytest.Eventually(f.t, "no Envoy knows a backend that is retired", func() bool { f.reap(); return len(f.retired) == 0 })
}
