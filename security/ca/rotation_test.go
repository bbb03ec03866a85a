package ca_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/proto/signer"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// keeper runs a Keeper of a directory until the test ends. Its clock is the bubble's.
func keeper(t *testing.T, opts ca.KeeperOptions) *ca.Keeper {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	k, err := ca.NewKeeper(opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- k.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

// ask asks for a step and gives the status after it.
func ask(t *testing.T, dir string, s ca.Step) ca.Status {
	t.Helper()
	if err := ca.Request(dir, s); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if ca.Pending(dir) {
		t.Fatalf("step %s was not looked at", s)
	}
	return status(t, dir)
}

func status(t *testing.T, dir string) ca.Status {
	t.Helper()
	s, err := ca.ReadStatus(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaf signs for reviews, and tells which of the bundle's certificates it verifies against.
func leaf(t *testing.T, k *ca.Keeper) (cert *x509.Certificate, roots []string) {
	t.Helper()
	chain, err := k.SignWorkload(request(t, p256(t), &x509.CertificateRequest{}), reviews, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert = parse(t, chain[0])
	for _, root := range k.Bundle() {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(root))
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			roots = append(roots, ca.Fingerprint(parse(t, root)))
		}
	}
	return cert, roots
}

// machine is a control plane on one machine with one proxy, reviews.default.
type machine struct {
	*ca.Keeper
	takes  atomic.Bool // the proxy takes the roots that it is told of
	renews atomic.Bool // and has a certificate of the key that signs
	second atomic.Bool // there is another one, which is as the first
}

// proxies tells what the proxy has.
func (m *machine) proxies(context.Context) []ca.Heard {
	h := ca.Heard{}
	for _, root := range m.Bundle() {
		block, _ := pem.Decode([]byte(root))
		h.Roots = append(h.Roots, signer.Fingerprint(block.Bytes))
	}
	h.Signer = h.Roots[0]
	roots, signer := []string{"former"}, "former"
	if m.takes.Load() {
		roots = slices.Sorted(slices.Values(h.Roots))
	}
	if m.renews.Load() {
		signer = h.Signer
	}
	h.Add("reviews.default", roots, signer)
	if m.second.Load() {
		h.Add("ratings.default", roots, signer)
	}
	return []ca.Heard{h}
}

// newMachine runs a control plane of a directory until stop is called.
func newMachine(t *testing.T, opts ca.Options) (_ *machine, stop func()) {
	t.Helper()
	m := &machine{}
	k, err := ca.NewKeeper(ca.KeeperOptions{Options: opts, Proxies: m.proxies, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.Keeper = k
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	time.Sleep(2 * time.Second)
	return m, func() { cancel(); <-done }
}

// A root is rotated to a new key: everybody trusts both before the new key signs, and the former root goes only
// when nothing lives that it signed.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m, stop := newMachine(t, ca.Options{Dir: dir, MaxTTL: time.Hour, DefaultTTL: time.Hour})
		defer stop()
		k := m.Keeper
		time.Sleep(2 * time.Second)
		first := status(t, dir)
		if first.Stage != ca.Steady || len(first.Roots) != 1 || first.Signer != first.Roots[0] {
			t.Fatalf("at first: %+v", first)
		}
		_, before := leaf(t, k)
		if s := ask(t, dir, ca.Finish); s.Refused == "" {
			t.Error("a rotation that was not started is finished")
		}

		changed := k.Changed()
		s := ask(t, dir, ca.Start)
		if s.Refused != "" || s.Stage != ca.Distributing || len(s.Roots) != 2 || s.Signer != first.Signer || len(s.Waiting) != 1 || s.Waiting[0].Lacking.String() != "reviews.default" {
			t.Fatalf("started: %+v", s)
		}
		select {
		case <-changed:
		default:
			t.Error("nobody is told of the new root")
		}
		if _, roots := leaf(t, k); !slices.Equal(roots, before) {
			t.Error("the new key signs before its root is everywhere")
		}
		if s := ask(t, dir, ca.Sign); !strings.Contains(s.Refused, "reviews.default") {
			t.Errorf("signs though a proxy waits: %+v", s)
		}
		time.Sleep(time.Hour)
		if s := status(t, dir); s.Stage != ca.Distributing {
			t.Fatalf("goes on though a proxy waits: %+v", s)
		}

		m.takes.Store(true)
		time.Sleep(15 * time.Second)
		s = status(t, dir)
		if s.Stage != ca.Signing || s.Signer == first.Signer || len(s.Roots) != 2 || s.FormerUntil == nil {
			t.Fatalf("all have the new root: %+v", s)
		}
		_, roots := leaf(t, k)
		if !slices.Equal(roots, []string{s.Signer}) || ca.Fingerprint(parse(t, k.Bundle()[0])) != s.Signer {
			t.Errorf("signed by %v, want %s, which has to be the bundle's first", roots, s.Signer)
		}
		if s := ask(t, dir, ca.Finish); !strings.Contains(s.Refused, "may live until") {
			t.Errorf("finished while certificates of the former key live: %+v", s)
		}
		time.Sleep(time.Hour)
		s = ask(t, dir, ca.Finish)
		if s.Refused != "" || s.Stage != ca.Steady || len(s.Roots) != 1 || s.Roots[0] == first.Signer {
			t.Errorf("finished: %+v", s)
		}
		if entries, _ := filepath.Glob(filepath.Join(dir, "*key*")); len(entries) != 1 {
			t.Errorf("the former key is left: %v", entries)
		}
	})
}

// A stage is what the files say, so that a control plane that is started anew goes on where the former was.
func TestRotationSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run := func() (*machine, func()) { return newMachine(t, ca.Options{Dir: dir}) }
		k, stop := run()
		ask(t, dir, ca.Start)
		bundle := k.Bundle()
		stop()
		k, stop = run()
		if s := status(t, dir); s.Stage != ca.Distributing || !slices.Equal(k.Bundle(), bundle) {
			t.Fatalf("after a restart: %+v", s)
		}
		stop()
		// A crash after the new key and before its root leaves the key alone.
		if err := os.WriteFile(filepath.Join(dir, "root-cert.pem"), []byte(bundle[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		k, stop = run()
		if s := status(t, dir); s.Stage != ca.Distributing || len(k.Bundle()) != 2 {
			t.Fatalf("after a crash: %+v", s)
		}
		ask(t, dir, ca.SignForced)
		stop()
		k, stop = run()
		defer stop()
		if s := status(t, dir); s.Stage != ca.Signing || s.FormerUntil == nil || len(k.Bundle()) != 2 || k.Bundle()[0] == bundle[0] {
			t.Fatalf("after a restart while the new key signs: %+v", s)
		}
		if s := ask(t, dir, ca.FinishForced); s.Stage != ca.Steady || len(s.Roots) != 1 {
			t.Errorf("finished by force: %+v", s)
		}
	})
}

// Where every proxy has said that its certificate is of the new key, the former root goes before the lives of its
// certificates are over.
func TestRotationEndsWhenAllHaveRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m, stop := newMachine(t, ca.Options{Dir: dir})
		defer stop()
		m.takes.Store(true)
		ask(t, dir, ca.Start)
		time.Sleep(time.Minute)
		if s := ask(t, dir, ca.Finish); !strings.Contains(s.Refused, "reviews.default") || !strings.Contains(s.Refused, "may live until") || s.Stage != ca.Signing {
			t.Fatalf("a proxy has a certificate of the former key: %+v", s)
		}
		m.renews.Store(true)
		if s := ask(t, dir, ca.Finish); !strings.Contains(s.Refused, "has to stay so") {
			t.Errorf("it has just renewed: %+v", s)
		}
		time.Sleep(10 * time.Second)
		m.takes.Store(false)
		if s := ask(t, dir, ca.Finish); !strings.Contains(s.Refused, "reviews.default") {
			t.Errorf("it has other roots: %+v", s)
		}
		m.takes.Store(true)
		m.second.Store(true)
		time.Sleep(5 * time.Second)
		m.second.Store(false)
		time.Sleep(15 * time.Second)
		if s := ask(t, dir, ca.Finish); !strings.Contains(s.Refused, "has to stay so") {
			t.Errorf("a proxy was lost and may come back: %+v", s)
		}
		time.Sleep(20 * time.Second)
		if s := ask(t, dir, ca.Finish); s.Refused != "" || s.Stage != ca.Steady || len(s.Roots) != 1 {
			t.Errorf("all have renewed: %+v", s)
		}
	})
}

// What a step by force breaks is said.
func TestForceSaysWhatItBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		_, stop := newMachine(t, ca.Options{Dir: dir})
		defer stop()
		ask(t, dir, ca.Start)
		if s := ask(t, dir, ca.SignForced); !strings.Contains(s.Broken, "reviews.default") || s.Stage != ca.Signing {
			t.Errorf("%+v", s)
		}
		if s := ask(t, dir, ca.FinishForced); !strings.Contains(s.Broken, "reviews.default") || s.Stage != ca.Steady {
			t.Errorf("%+v", s)
		}
	})
}

// A self-signed root is renewed before it ends, and what it signed stays valid.
func TestRootIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		k := keeper(t, ca.KeeperOptions{Options: ca.Options{Dir: dir, RootTTL: 100 * time.Minute}})
		former := k.Bundle()
		time.Sleep(95 * time.Minute)
		cert, roots := leaf(t, k)
		if len(roots) != 2 || len(k.Bundle()) != 2 || slices.Equal(k.Bundle(), former) {
			t.Errorf("leads to %d of %d roots, want both", len(roots), len(k.Bundle()))
		}
		if root, _ := k.NotAfter(); time.Until(root) < 80*time.Minute || cert.NotAfter.Before(time.Now()) {
			t.Errorf("the root ends at %v", root)
		}
		time.Sleep(10 * time.Minute)
		if b := k.Bundle(); len(b) != 1 || b[0] == former[0] {
			t.Errorf("%d roots, want the new one alone", len(b))
		}
	})
}

// Certificates that were signed for longer than is signed for today live until a rotation may end.
func TestRotationWaitsForTheLongestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		with := func(ttl time.Duration) ca.KeeperOptions {
			return ca.KeeperOptions{Options: ca.Options{Dir: dir, MaxTTL: ttl, DefaultTTL: time.Hour}, Logger: slog.New(slog.DiscardHandler)}
		}
		former, err := ca.NewKeeper(with(48 * time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := former.Run(ctx); err != nil {
			t.Fatal(err)
		}
		keeper(t, with(time.Hour))
		for _, want := range []time.Duration{48 * time.Hour, time.Hour} { // the next key signs for an hour only
			now := time.Now()
			ask(t, dir, ca.Start)
			s := ask(t, dir, ca.SignForced)
			if s.FormerUntil == nil || s.FormerUntil.Sub(now).Round(time.Hour) != want {
				t.Errorf("%+v, want %v from %v", s, want, now)
			}
			ask(t, dir, ca.FinishForced)
		}
	})
}
