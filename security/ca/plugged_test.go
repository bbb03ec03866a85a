package ca_test

import (
	"context"
	"crypto/tls"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// plugged gives the files of a CA that can be plugged in.
func plugged(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := ca.SelfSigned(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files["ca-cert.pem"] = files["root-cert.pem"]
	return files
}

// A store that can be read only has no other Authority, whatever should be written.
func TestAStoreThatCannotBeWrittenIsTheSame(t *testing.T) {
	r := ca.NewRotation(ca.RotationOptions{Store: readOnly(plugged(t)), Logger: slog.New(slog.DiscardHandler)})
	if changed, err := r.Look(t.Context()); changed || err != nil {
		t.Errorf("nothing was asked: changed %v, %v", changed, err)
	}
	asked, self := plugged(t), plugged(t)
	asked["rotate-request"] = []byte(ca.Start)
	delete(self, "ca-cert.pem")
	for what, store := range map[string]readOnly{"a step is asked for": asked, "it is self-signed": self} {
		r := ca.NewRotation(ca.RotationOptions{Store: store, Logger: slog.New(slog.DiscardHandler)})
		if changed, err := r.Look(t.Context()); changed || err == nil {
			t.Errorf("%s: changed %v, %v", what, changed, err)
		}
	}
}

// readOnly is a Store that refuses to be written.
type readOnly map[string][]byte

func (s readOnly) Read(context.Context) (map[string][]byte, error) { return s, nil }
func (s readOnly) Write(context.Context, []ca.Change) error        { return fs.ErrPermission }

// A plugged-in CA is exchanged while it runs. Files that do not fit leave the former in its place.
func TestPluggedCAIsExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		put := func(name string, data []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		first, second := plugged(t), plugged(t)
		for name, data := range first {
			put(name, data)
		}
		k := keeper(t, ca.KeeperOptions{Options: ca.Options{Dir: dir}})
		if s := ask(t, dir, ca.Start); !strings.Contains(s.Refused, "plugged in") {
			t.Errorf("a plugged-in CA is rotated: %+v", s)
		}
		put("ca-key.pem", second["ca-key.pem"]) // and its certificate not yet
		time.Sleep(5 * time.Second)
		if _, roots := leaf(t, k); len(roots) != 1 {
			t.Error("the CA is out of work while its files are exchanged")
		}
		put("ca-cert.pem", second["ca-cert.pem"])
		put("root-cert.pem", slices.Concat(first["root-cert.pem"], second["root-cert.pem"]))
		time.Sleep(5 * time.Second)
		if b := k.Bundle(); len(b) != 2 || b[0] != string(second["root-cert.pem"]) {
			t.Errorf("%d roots", len(b))
		}
	})
}

// Into a plugged-in directory nothing is written that was not asked for, and what is made of it stays: a server's
// certificate too.
func TestAPluggedCAIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, data := range plugged(t) {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k := keeper(t, ca.KeeperOptions{Options: ca.Options{Dir: dir}})
		server := k.ServerCertificate([]string{"istiod"})
		first, err := server(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
			t.Errorf("written: %v, %v", entries, err)
		}
		if s := status(t, dir); s.Stage != ca.Steady || len(s.Roots) != 1 || s.Signer != s.Roots[0] {
			t.Errorf("its status is %+v", s)
		}
		if s := ask(t, dir, ca.Start); !strings.Contains(s.Refused, "plugged in") {
			t.Errorf("a plugged-in CA is rotated: %+v", s)
		}
		if again, err := server(&tls.ClientHelloInfo{}); err != nil || again != first {
			t.Errorf("the server has another certificate, %v", err)
		}
	})
}
