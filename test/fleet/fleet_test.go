package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

var (
	envoys   = flag.Int("envoys", 6, "how many Envoys take part")
	rounds   = flag.Int("rounds", 36, "how many rounds of edits and a fault there are")
	seed     = flag.Uint64("seed", 1, "what decides on edits and faults")
	interval = flag.Duration("interval", 30*time.Millisecond, "from one request to the next, for each Envoy and service")
)

// Ports of the services: one that they share, and the first of those that a service has for itself.
const sharedPort, ownPort = 9080, 9100

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
	proxies []*proxy
	rng     *rand.Rand
	comers  []*service // services that come and go, the oldest first
	came    int
}

// newFleet starts everything, and requests to the services that stay.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{mesh: newMesh(t), rng: rand.New(rand.NewPCG(*seed, 0))}
	for i := range 3 {
		f.add(fmt.Sprintf("web-%d", i), sharedPort)
	}
	f.write()
	f.plane = newPlane(t, f.dir)
	f.faults = &faults{plane: f.plane, happened: true}
	gate := envoytest.NewGate(t, f.plane.settings.Addr, envoytest.NewSecrets(t))
	gate.Filter(func(x *envoytest.Exchange) envoytest.Verdict {
		typ, ok := push.ByURL(x.Response.GetTypeUrl())
		if !ok {
			return envoytest.Pass
		}
		if err := adapt(x.Response, strings.Split(x.Link.Node, "~")[1]); err != nil {
			t.Error(err)
		}
		return f.faults.decide(x.Link.Node, typ)
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
	for _, stage := range []push.Type{push.Clusters, push.Endpoints, push.Listeners, push.Routes} {
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
	began, stage, story := time.Now(), push.Routes, "the control plane is killed at once"
	if what != nil {
		stage, story = what.stage, f.arm(*what, plan)
	}
	edits, comer := f.edit(stage)
	f.write()
	if what == nil {
		f.plane.kill()
	}
	f.converge()
	f.faults.arm(nil)
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
	missing := ""
	defer func() {
		if missing != "" {
			f.t.Logf("round %d: %s", f.round, missing)
		}
	}()
	envoytest.Eventually(f.t, "all Envoys have the state of the round", func() bool {
		f.plane.start()
		for _, p := range f.proxies {
			if missing = p.behind(f.round); missing != "" {
				missing = p.address + ": " + missing
				return false
			}
		}
		if !f.faults.over() {
			missing = "the fault does not happen"
		}
		return missing == ""
	})
}

// edit changes the mesh so that each Envoy gets something of a type, and some more. It gives the
// service that came, if one did.
func (f *fleet) edit(stage push.Type) (story string, comer *service) {
	all := f.sorted()
	some := func() *service { return all[f.rng.IntN(len(all))] }
	switch stage {
	case push.Clusters:
		story = f.changeClusters(some())
	case push.Endpoints:
		story = f.changeEndpoints(some())
	case push.Listeners:
		story, comer = f.comeOrGo()
		all = f.sorted()
	}
	for range f.rng.IntN(4) {
		s := some()
		switch f.rng.IntN(3) {
		case 0:
			story += f.changeClusters(s)
		case 1:
			story += f.changeEndpoints(s)
		case 2:
			s.weight = f.rng.IntN(101)
			story += s.name + " has other weights. "
		}
	}
	return story + "Every service has another route", comer
}

// changeClusters gives a service another policy, or one version more or less.
func (f *fleet) changeClusters(s *service) string {
	s.timeout = 1 + s.timeout%5
	if f.rng.IntN(2) == 0 {
		return s.name + " has another policy. "
	}
	if last := len(s.pods) - 1; s.pods[last].version == "v3" {
		f.retired = append(f.retired, s.pods[last])
		s.pods = s.pods[:last]
		return s.name + " loses a version. "
	}
	s.pods = append(s.pods, f.pod(s, "v3"))
	return s.name + " gets a version. "
}

// changeEndpoints moves backends of a service, or all of them.
func (f *fleet) changeEndpoints(s *service) string {
	if f.rng.IntN(3) == 0 {
		for i := range s.pods {
			f.move(s, i)
		}
		return s.name + " moves. "
	}
	f.move(s, f.rng.IntN(len(s.pods)))
	return "a backend of " + s.name + " moves. "
}

// comeOrGo adds a service with a port of its own, or removes the oldest of those.
func (f *fleet) comeOrGo() (string, *service) {
	if len(f.comers) < 2 {
		s := f.add(fmt.Sprintf("own-%d", f.came), ownPort+f.came%50)
		f.came++
		f.comers = append(f.comers, s)
		return s.name + " comes. ", s
	}
	s := f.comers[0]
	f.comers = f.comers[1:]
	for _, p := range f.proxies {
		p.hangUp(s.name)
	}
	f.remove(s.name)
	return s.name + " goes. ", nil
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
			n, bad, why := l.Result()
			if total, failed = total+n, failed+bad; bad > 0 {
				f.t.Errorf("%s: %d of %d requests failed, the last at %s", p.address, bad, n, why)
			}
		}
	}
	f.t.Logf("%d requests through %d Envoys, %d failed; the control plane was killed %d times, streams were cut %d times",
		total, len(f.proxies), failed, f.plane.kills, f.faults.cuts)
	for _, p := range f.proxies {
		fresh, why := envoytest.Run(f.t, p.config), ""
		envoytest.Eventually(f.t, p.address+" has what a fresh one gets", func() bool {
			why = p.compare(fresh)
			return why == ""
		})
		fresh.Stop()
		for _, stat := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"} {
			if n := p.Stat(stat); n != 0 {
				f.t.Errorf("%s: %s is %d", p.address, stat, n)
			}
		}
	}
	envoytest.Eventually(f.t, "no Envoy knows a backend that is retired", func() bool { f.reap(); return len(f.retired) == 0 })
}
