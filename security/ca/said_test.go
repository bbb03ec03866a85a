package ca_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// looked is a rotation of a Store in memory, one look after the other, with what it logs.
type looked struct {
	*testing.T
	store   *counted
	r       *ca.Rotation
	now     time.Time
	proxies []ca.Heard
	log     bytes.Buffer
}

func newLooked(t *testing.T) *looked { return newDelivered(t, 0) }

// newDelivered gives one of roots that take a time until pods see them.
func newDelivered(t *testing.T, delivery time.Duration) *looked {
	t.Helper()
	files, err := ca.SelfSigned(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now() // as a clock gives it, with a monotonic reading
	l := &looked{T: t, store: &counted{files: files}, now: now.Add(-time.Duration(now.Nanosecond()))}
	l.start(delivery)
	l.look()
	return l
}

// start begins anew, as another leader does.
func (l *looked) start(delivery time.Duration) {
	l.r = ca.NewRotation(ca.RotationOptions{
		Delivery: delivery,
		Options:  ca.Options{Clock: func() time.Time { return l.now }, Own: true}, Store: l.store,
		Proxies: func(context.Context) []ca.Heard { return l.proxies }, Logger: slog.New(slog.NewTextHandler(&l.log, nil)),
	})
}

// look looks once, two seconds after the last time, and gives the status.
func (l *looked) look() ca.Status {
	l.Helper()
	l.now = l.now.Add(2 * time.Second)
	if _, err := l.r.Look(l.Context()); err != nil {
		l.Fatal(err)
	}
	s, answered, found, err := ca.Answered(l.store.files)
	if err != nil || !answered || !found {
		l.Fatalf("answered %v, found %v, %v", answered, found, err)
	}
	return s
}

func (l *looked) ask(s ca.Step) ca.Status {
	l.Helper()
	c := ca.Requested(s)
	l.store.files[c.Name] = c.Data
	return l.look()
}

// A step that does not belong into a stage is refused with what leads on from there.
func TestARefusalSaysWhatToDo(t *testing.T) {
	l := newLooked(t)
	refused := func(want string, steps ...ca.Step) {
		t.Helper()
		for _, step := range steps {
			if s := l.ask(step); !strings.HasPrefix(s.Refused, want) || !strings.HasSuffix(s.Refused, s.Next()) {
				t.Errorf("%s: %q, want %q and %q", step, s.Refused, want, s.Next())
			}
		}
	}
	refused("no rotation is under way; `pilotctl ca rotate start` begins", ca.Sign, ca.SignForced, ca.Finish, ca.FinishForced)
	var h ca.Heard
	h.Add("reviews.default", nil, "")
	l.proxies = []ca.Heard{h}
	l.ask(ca.Start)
	refused("a rotation is under way (stage distributing: ", ca.Start, ca.Finish, ca.FinishForced)
	l.ask(ca.SignForced)
	refused("a rotation is under way (stage signing: the new key signs, and both roots are trusted); `pilotctl ca rotate finish` drops", ca.Start, ca.Sign, ca.SignForced)
}

// What leads on from a plugged-in CA is not a step.
func TestAPluggedCASaysHowItIsRotated(t *testing.T) {
	s, err := ca.StatusOf(plugged(t), nil)
	if err != nil || !s.Plugged || !strings.Contains(s.Next(), "rotate it by its files") {
		t.Errorf("%+v (%v): %q", s, err, s.Next())
	}
}

// While a rotation is under way its status is written again and again, and so tells whether somebody is there.
func TestAStatusTellsWhenItWasWritten(t *testing.T) {
	l := newLooked(t)
	steady := l.look()
	for range 100 {
		l.look()
	}
	if s := l.look(); s.Written.IsZero() || s.Written != steady.Written || s.Silent(l.now) {
		t.Errorf("written in stage steady: %v, at first %v", s.Written, steady.Written)
	}
	var h ca.Heard
	h.Add("reviews.default", nil, "")
	l.proxies = []ca.Heard{h}
	for _, step := range []ca.Step{ca.Start, ca.SignForced} {
		s := l.ask(step)
		if !s.Written.Equal(l.now) {
			t.Errorf("%s: written %v, want %v", step, s.Written, l.now)
		}
		for range 100 {
			if s = l.look(); l.now.Sub(s.Written) > ca.StatusEvery || s.Silent(l.now) {
				t.Fatalf("%s: at %v it was written %v", step, l.now, s.Written)
			}
		}
		if !s.Silent(l.now.Add(2*time.Minute)) || s.Silent(l.now.Add(time.Minute)) {
			t.Errorf("%s: who writes nothing for two minutes is silent, and not after one", step)
		}
	}
}

// Where no proxy is connected, none can say that its certificate is new, and a refusal says so.
func TestWithoutProxiesTheLifetimeHolds(t *testing.T) {
	l := newLooked(t)
	l.ask(ca.Start)
	l.ask(ca.SignForced)
	if s := l.ask(ca.Finish); s.Proxies != 0 || !strings.Contains(s.Refused, "no proxy is connected") || !strings.Contains(s.Refused, "finish --force") {
		t.Errorf("without proxies: %+v", s)
	}
	var h ca.Heard
	h.Add("reviews.default", nil, "")
	l.proxies = []ca.Heard{h}
	if s := l.ask(ca.Finish); s.Proxies != 1 || strings.Contains(s.Refused, "no proxy") {
		t.Errorf("with one: %+v", s)
	}
	l.proxies = nil
	for range 20 {
		l.look()
	}
	if s := l.look(); s.Proxies != 0 {
		t.Errorf("it is gone: %+v", s)
	}
	if s := l.ask(ca.FinishForced); s.Stage != ca.Steady || s.Proxies != 0 {
		t.Errorf("at the end: %+v", s)
	}
}

// Each step is a line of the log once it is written, and one that cuts proxies off is a warning that names them.
func TestEachStepIsLogged(t *testing.T) {
	l := newLooked(t)
	logged := func(what string, want ...string) {
		t.Helper()
		for _, w := range want {
			if lines := l.log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, w) {
				t.Errorf("%s: logged %q, want a line with %q", what, lines, w)
			}
		}
		l.log.Reset()
	}
	var h ca.Heard
	h.Add("reviews.default", nil, "")
	l.proxies = []ca.Heard{h}
	has := func(s ca.Status) { l.proxies[0].Roots, l.proxies[0].Signer = s.Roots, s.Signer } // the replica, not the proxy
	has(l.ask(ca.Start))
	logged("start", "level=INFO", "step=start stage=distributing", "roots=2")
	l.ask(ca.Sign)
	logged("sign", "level=WARN", "is refused", "step=sign stage=distributing", "reason=\"1 proxies have not taken the roots: reviews.default")
	has(l.ask(ca.SignForced))
	logged("sign --force", "level=WARN", "is taken", `step="sign --force" stage=signing`, "broken=\"1 proxies have not taken the roots: reviews.default")
	s := l.ask(ca.FinishForced)
	logged("finish --force", "level=WARN", `step="finish --force" stage=steady signer=`+s.Signer, "roots=1", "broken=\"1 proxies", "reviews.default")

	l.proxies = nil
	l.ask(ca.Start)
	l.log.Reset()
	for range 10 {
		s = l.look()
	}
	logged("the new key signs by itself", "level=INFO", "step=sign stage=signing signer="+s.Signer, "all proxies have")
	if s.Stage != ca.Signing {
		t.Errorf("%+v", s)
	}
}

// What could not be written is no step, and is not logged as one.
func TestAStepThatIsNotWrittenIsNotLogged(t *testing.T) {
	files, err := ca.SelfSigned(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files["rotate-request"] = []byte(ca.Start)
	var log bytes.Buffer
	r := ca.NewRotation(ca.RotationOptions{Options: ca.Options{Own: true}, Store: readOnly(files), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := r.Look(t.Context()); err == nil || strings.Contains(log.String(), "step") {
		t.Errorf("%v, logged %q", err, log.String())
	}
}

// A kubelet shows pods what is in a ConfigMap later than the API server does. A sidecar that starts with the former root
// alone would not reach a control plane with a certificate of the new key. So the new key waits, by itself and where it
// is asked for, from when all replicas have written the roots.
func TestTheNewKeyWaitsForKubelets(t *testing.T) {
	const delivery = 2 * time.Minute
	l := newDelivered(t, delivery)
	former := l.look().Signer
	written, lacks := false, false
	l.proxies = []ca.Heard{{Written: &written}}
	l.ask(ca.Start)
	look := func() ca.Status {
		t.Helper()
		s := l.look()
		h := ca.Heard{Roots: s.Roots, Signer: s.Signer, Written: &written}
		roots := slices.Sorted(slices.Values(s.Roots))
		if lacks {
			roots = nil
		}
		h.Add("reviews.default", roots, s.Signer)
		l.proxies = []ca.Heard{h}
		return s
	}
	for range 300 {
		if s := look(); s.Stage != ca.Distributing || s.DeliveredBy != nil {
			t.Fatalf("not all is written: %+v", s)
		}
	}
	written = true
	look()
	from := l.now
	waits := func(by, until time.Time) {
		t.Helper()
		began := l.now
		l.store.writes = 0
		for s := l.ask(ca.Sign); l.now.Before(until); s = look() {
			lacks = l.now.Sub(from) < delivery/2 // proxies come that have to be told, which delays nothing
			if s.Stage != ca.Distributing || s.Signer != former || s.DeliveredBy == nil || !s.DeliveredBy.Equal(by) {
				t.Fatalf("%v before pods have the roots: %+v, delivered by %v", by.Sub(l.now), s, s.DeliveredBy)
			}
			if s.Refused != "" && !strings.Contains(s.Refused, "pods may see the new root in their files as late as "+by.UTC().Format(time.RFC3339)) {
				t.Errorf("refused: %q", s.Refused)
			}
		}
		if most := int(l.now.Sub(began)/ca.StatusEvery) + 2; l.store.writes > most { // the answer, and that it is not known for the moment
			t.Errorf("written %d times in %v, want each %v", l.store.writes, l.now.Sub(began), ca.StatusEvery)
		}
	}
	waits(from.Add(delivery), from.Add(delivery-10*time.Second))
	l.start(delivery) // which does not know when they were written
	look()
	from = l.now
	waits(from.Add(delivery), from.Add(delivery-2*time.Second))
	if s := look(); s.Stage != ca.Signing || s.Signer == former || s.DeliveredBy != nil {
		t.Errorf("pods have the roots: %+v", s)
	}
}

// Since when all have the roots is not known of roots that are new in this look, though all had the former ones.
func TestNewRootsAreNotDelivered(t *testing.T) {
	l := newDelivered(t, 2*time.Minute)
	written := true
	has := func(s ca.Status) ca.Status { // each replica, and no proxy
		h := ca.Heard{Roots: s.Roots, Signer: s.Signer, Written: &written}
		h.Add("reviews.default", nil, "")
		l.proxies = []ca.Heard{h}
		return s
	}
	has(l.look())
	for range 10 {
		l.look()
	}
	if s := has(l.ask(ca.Start)); s.Stage != ca.Distributing || s.DeliveredBy != nil {
		t.Errorf("started: delivered by %v: %+v", s.DeliveredBy, s)
	}
	if s := l.look(); s.DeliveredBy == nil || !s.DeliveredBy.Equal(l.now.Add(2*time.Minute)) {
		t.Errorf("all have them: %+v", s)
	}
	l.now = l.now.Add(9*365*24*time.Hour + 180*24*time.Hour)
	if s := has(l.look()); s.Stage != ca.Distributing || len(s.Roots) < 3 || s.DeliveredBy != nil {
		t.Errorf("a root is renewed: delivered by %v: %+v", s.DeliveredBy, s)
	}
	if s := l.look(); s.DeliveredBy == nil || !s.DeliveredBy.Equal(l.now.Add(2*time.Minute)) {
		t.Errorf("all have the one that is renewed: %+v", s)
	}
}

// By force the new key does not wait, and what that breaks is said.
func TestByForceTheNewKeyWaitsForNoKubelet(t *testing.T) {
	l := newDelivered(t, time.Minute)
	l.ask(ca.Start)
	if s := l.ask(ca.SignForced); s.Stage != ca.Signing || !strings.Contains(s.Broken, "pods may see the new root") {
		t.Errorf("%+v", s)
	}
}
