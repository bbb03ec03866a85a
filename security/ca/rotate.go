package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// renewShare is the share of a self-signed root's life that is left when it is renewed.
const renewShare = 10

// StatusEvery is how often a status is written while a rotation is under way, though only the list of those that are
// waited for is another, or nothing at all: so it tells that somebody is there.
const StatusEvery = 30 * time.Second

// RotationOptions of a Rotation.
type RotationOptions struct {
	Options
	Store Store
	// Proxies tells what each replica of the control plane knows of the roots that proxies have. Nil: there are no
	// proxies.
	Proxies func(ctx context.Context) []Heard
	// Hold is how long something has to be so before it counts, at the least, so that a proxy whose stream is just
	// broken is back; 10 s when zero.
	Hold time.Duration
	// Delivery is how long it takes, at the most, until pods see in their files what replicas have written: who starts
	// with the former root alone does not reach a control plane whose certificate is of the new key. Zero where no files
	// are delivered.
	Delivery time.Duration
	// Logger must not be nil.
	Logger *slog.Logger
}

// Rotation keeps the self-signed root of a Store: it takes the steps of its rotation and renews it before it ends.
// One goroutine uses it, and of several control planes with one Store one, so that a stage is one for all.
type Rotation struct {
	opts RotationOptions

	bundle  []byte    // the roots as they are in the last Authority that was loaded
	since   time.Time // since when they are these
	given   time.Time // since when all replicas have them and have written them; zero: not all, or it is not known
	proxies int       // how many were heard of at the last look
	written time.Time // when the status was last written
	renewed time.Time // since when all of them have certificates of the new key; zero: not all
	steady  time.Time // when those that were lost are back, as far as they come back
}

// NewRotation gives a Rotation. What it was at the last one follows from the Store.
func NewRotation(opts RotationOptions) *Rotation {
	opts.setDefaults()
	if opts.Hold == 0 {
		opts.Hold = 10 * time.Second
	}
	r := &Rotation{opts: opts}
	r.since = opts.Clock()
	r.steady = r.since.Add(r.back())
	return r
}

// back is how long proxies take to come back that have lost their stream, all at once as when a replica ends.
func (r *Rotation) back() time.Duration { return 3 * r.opts.Hold }

// Look takes one look at the store, and does what is to be done. It tells whether the store has another Authority now.
func (r *Rotation) Look(ctx context.Context) (changed bool, err error) {
	files, err := r.opts.Store.Read(ctx)
	if err != nil || files == nil {
		return false, err
	}
	t := &turn{Rotation: r, now: r.opts.Clock(), files: maps.Clone(files)}
	if err := t.load(); err != nil {
		return false, err
	}
	if err := t.mend(); err != nil {
		return false, err
	}
	if t.underWay() || t.files[requestFile] != nil {
		t.hear(ctx)
	}
	if err := errors.Join(t.rotate(), t.noteLongest(), t.renewRoot(), t.writeStatus()); err != nil {
		return false, err
	}
	if len(t.changes) == 0 {
		return false, nil
	}
	if err := r.opts.Store.Write(ctx, t.changes); err != nil {
		return false, err
	}
	t.logStep(ctx)
	return slices.ContainsFunc(t.changes, func(c Change) bool { return slices.Contains(authorityFiles(), c.Name) }), nil
}

// turn is one look.
type turn struct {
	*Rotation
	now     time.Time
	files   map[string][]byte // as they are after changes
	changes []Change
	a       *Authority // of files
	heard   []Heard
	asked   Step
	refused string
	broken  string
	went    bool // the new key signs by itself
}

// load makes the Authority of the files. What is known of its roots ends where they are others, within a look too.
func (t *turn) load() error {
	opts := t.opts.Options
	opts.Dir, opts.Files = "", t.files
	opts.Own = opts.Own || t.files[certFile] == nil
	a, err := New(opts)
	if err != nil {
		return err
	}
	t.a = a
	if of := t.Rotation; !bytes.Equal(a.rootPEM, of.bundle) {
		if of.bundle != nil {
			of.since = t.now
		}
		of.given = time.Time{}
		of.bundle = a.rootPEM
	}
	return nil
}

// put changes a file; without data it goes.
func (t *turn) put(name string, data []byte) {
	if was, found := t.files[name]; found == (data != nil) && bytes.Equal(was, data) {
		return
	}
	t.changes = append(t.changes, Change{name, data})
	if t.files[name] = data; data == nil {
		delete(t.files, name)
	}
}

// putRoots changes what is trusted, and the certificate of the CA with it where there is one.
func (t *turn) putRoots(key crypto.Signer, roots []*x509.Certificate) error {
	t.put(rootFile, rootsPEM(roots))
	if signer := rootOf(key, roots); signer != nil && t.files[certFile] != nil {
		t.put(certFile, certPEM(signer.Raw))
	}
	return t.load()
}

// stage follows from the files.
func (t *turn) stage() Stage {
	next := t.files[nextKeyFile]
	switch {
	case t.a.plugged:
		return Steady
	case next != nil && !bytes.Equal(next, t.files[keyFile]):
		return Distributing
	case slices.ContainsFunc(t.a.rootCerts, t.former):
		return Signing
	}
	return Steady
}

// former tells whether a root is of another key than the one that signs.
func (t *turn) former(root *x509.Certificate) bool {
	return !samePublicKey(root.PublicKey, t.a.key.Public())
}

// several tells whether a plugged-in CA has several roots, as it has while somebody rotates it.
func (t *turn) several() bool { return t.a.plugged && len(t.a.rootCerts) > 1 }

func (t *turn) signer() string { return Fingerprint(t.a.path[len(t.a.path)-1]) }

// hear asks what all have, and notes since when all certificates are of the new key.
func (t *turn) hear(ctx context.Context) {
	if t.opts.Proxies != nil {
		t.heard = t.opts.Proxies(ctx)
	}
	count := 0
	for _, h := range t.heard {
		for _, p := range h.Proxies {
			count += p.Count
		}
	}
	if count < t.proxies {
		t.steady = t.now.Add(t.back())
	}
	t.Rotation.proxies = count
	all := t.waiting()
	if t.given.IsZero() && !slices.ContainsFunc(all, func(w Waiting) bool { return w.Reason != "" }) {
		t.Rotation.given = t.now
	}
	switch {
	case t.stage() != Signing || count == 0 || lacking(all) != "" || former(all) != "":
		t.Rotation.renewed = time.Time{}
	case t.renewed.IsZero():
		t.Rotation.renewed = t.now
	}
}

func (t *turn) waiting() []Waiting {
	return waiting(t.heard, fingerprints(t.a.rootCerts), t.signer())
}

// rotate takes the step that was asked for, and those that are due by themselves: the new key signs once all
// proxies have taken its root.
func (t *turn) rotate() error {
	t.noteUntil()
	if asked, found := t.files[requestFile]; found {
		t.asked = Step(strings.TrimSpace(string(asked)))
		if refused := t.take(t.asked); refused != nil {
			t.refused = refused.Error()
		}
	} else if t.stage() == Distributing && t.unready() == "" && t.now.Sub(t.since) >= t.opts.Hold {
		if err := t.sign(); err != nil {
			return err
		}
		t.went = true
	}
	t.noteUntil()
	return nil
}

// logStep logs what was written of a step: who rotates the root, or has it rotated, is to be found in the log.
func (t *turn) logStep(ctx context.Context) {
	level, what := slog.LevelInfo, "a step of the root's rotation is taken"
	of := []slog.Attr{slog.String("step", string(t.asked)), slog.String("stage", string(t.stage())), slog.String("signer", t.signer()), slog.Int("roots", len(t.a.rootCerts))}
	switch {
	case t.went:
		of[0] = slog.String("step", string(Sign))
		of = append(of, slog.String("reason", "all proxies have the new root"))
	case t.asked == "":
		return
	case t.refused != "":
		level, what = slog.LevelWarn, "a step of the root's rotation is refused"
		of = append(of, slog.String("reason", t.refused))
	case t.broken != "":
		level = slog.LevelWarn
		of = append(of, slog.String("broken", t.broken))
	}
	t.opts.Logger.LogAttrs(ctx, level, what, of...)
}

// lacking tells who does not have the roots yet.
func (t *turn) lacking() string { return lacking(t.waiting()) }

// unready tells why the new key may not sign yet.
func (t *turn) unready() string {
	if why := t.lacking(); why != "" {
		return why
	}
	if by := t.deliveredBy(); by != nil && t.now.Before(*by) {
		return "pods may see the new root in their files as late as " + by.UTC().Format(time.RFC3339)
	}
	return ""
}

// deliveredBy gives when pods see the roots in their files; nil where no files are delivered, or not all replicas have
// written them.
func (t *turn) deliveredBy() *time.Time {
	if t.given.IsZero() || t.opts.Delivery == 0 {
		return nil
	}
	by := t.given.Add(t.opts.Delivery)
	return &by
}

// renewRoot makes a new root of the same key when little is left of the life of a self-signed one. Both are
// in the bundle until the former ends.
func (t *turn) renewRoot() error {
	if t.a.plugged {
		return nil
	}
	living := slices.DeleteFunc(slices.Clone(t.a.rootCerts), func(r *x509.Certificate) bool { return !t.now.Before(r.NotAfter) })
	if s := t.a.signer; s.NotAfter.Sub(t.now) < s.NotAfter.Sub(s.NotBefore)/renewShare {
		m, err := selfSign(t.a.opts, t.a.key)
		if err != nil {
			return err
		}
		living = append(living, m.signer)
	}
	if slices.Equal(living, t.a.rootCerts) {
		return nil
	}
	return t.putRoots(t.a.key, living)
}

// writeStatus writes the status where it is another one than before, and ends the request: the status is there before
// the request is gone, so that nobody reads an older one.
func (t *turn) writeStatus() error {
	if t.a.plugged && t.asked == "" && t.files[statusFile] == nil && !t.several() {
		return nil // the directory is the operator's
	}
	former, _, _, err := Answered(t.files)
	if err != nil {
		former = Status{}
	}
	next := former
	if t.asked != "" {
		next.Request, next.Refused, next.Broken = t.asked, t.refused, t.broken
	}
	next.Stage, next.Signer, next.Roots, next.Plugged = t.stage(), t.signer(), fingerprints(t.a.rootCerts), t.a.plugged
	next.Waiting, next.FormerUntil, next.DeliveredBy, next.Proxies = nil, nil, nil, 0
	if t.underWay() {
		next.Proxies = t.proxies
	}
	switch next.Stage {
	case Distributing:
		next.Waiting, next.DeliveredBy = justLacking(t.waiting()), written(t.deliveredBy())
	case Signing:
		next.Waiting, next.FormerUntil = t.waiting(), t.formerUntil()
	case Steady:
		if t.several() {
			next.Waiting = justLacking(t.waiting())
		}
	}
	due, err := t.due(former, next)
	if err != nil || t.asked == "" && len(t.changes) == 0 && !due {
		return err
	}
	next.Written = t.now.UTC().Truncate(time.Second)
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	t.Rotation.written = t.now
	t.put(statusFile, data)
	t.put(requestFile, nil)
	return nil
}

// due tells whether a status is to be written in the place of the former. Proxies come and go all the time, and so
// their number waits, and the list of those that are waited for. In stage steady nothing changes, and nothing is written.
// They are compared as they are written: in memory equal times differ by their zone and their monotonic reading.
func (t *turn) due(former, next Status) (bool, error) {
	var texts [2][]byte
	for i, s := range []Status{former, next} {
		s.Waiting, s.Proxies, s.Written = nil, 0, time.Time{}
		var err error
		if texts[i], err = json.Marshal(s); err != nil {
			return false, err
		}
	}
	return !bytes.Equal(texts[0], texts[1]) || t.underWay() && t.now.Sub(t.written) >= StatusEvery, nil
}

// written gives a time as a status has it, in one zone for replicas of all.
func written(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC().Round(0)
	return &utc
}

// underWay tells whether anything is waited for, also by an operator who rotates a plugged-in CA.
func (t *turn) underWay() bool { return t.stage() != Steady || t.several() }

// StatusOf says how far the rotation of a plugged-in CA is: who does not have its roots yet.
func StatusOf(files map[string][]byte, heard []Heard) (Status, error) {
	a, err := New(Options{Files: files})
	if err != nil {
		return Status{}, err
	}
	s := Status{Stage: Steady, Signer: Fingerprint(a.path[len(a.path)-1]), Roots: fingerprints(a.rootCerts), Plugged: a.plugged}
	s.Waiting = justLacking(waiting(heard, s.Roots, s.Signer))
	return s, nil
}

// justLacking leaves out the certificates of proxies, which are to be of the former key yet.
func justLacking(all []Waiting) []Waiting {
	out := slices.Clone(all)
	for i := range out {
		out[i].Former = Proxies{}
	}
	return slices.DeleteFunc(out, func(w Waiting) bool { return w.Reason == "" && w.Lacking.Count == 0 })
}
