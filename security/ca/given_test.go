package ca_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// What only tells of a rotation makes no other CA, and its next key goes nowhere.
func TestTheStateOfARotationIsNoPartOfTheCA(t *testing.T) {
	all := map[string][]byte{}
	for _, name := range []string{
		"ca-key.pem", "ca-cert.pem", "root-cert.pem", "next-key.pem", "former-until", "former-longest-ttl", "longest-ttl", "rotate-request", "rotate-status.json",
	} {
		all[name] = []byte("x")
	}
	if got := slices.Sorted(maps.Keys(ca.WithoutState(all))); !slices.Equal(got, []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem"}) || len(all) != 9 {
		t.Errorf("%v of %d", got, len(all))
	}
}

// A CA of a Secret gives way to the next content of the Secret, and stays where that cannot be used.
func TestGivenFilesAreExchanged(t *testing.T) {
	made := func() map[string][]byte {
		files, err := ca.SelfSigned(ca.Options{TrustDomain: "cluster.local"})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	first, second := made(), made()
	k, err := ca.NewKeeper(ca.KeeperOptions{Options: ca.Options{TrustDomain: "cluster.local", Files: first}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	changed, root := k.Changed(), string(k.RootPEM())
	if err := k.Use(first, false); err != nil || string(k.RootPEM()) != root {
		t.Fatalf("the same files change the CA: %v", err)
	}
	if err := k.Use(map[string][]byte{"ca-key.pem": second["ca-key.pem"], "ca-cert.pem": first["ca-cert.pem"], "root-cert.pem": first["root-cert.pem"]}, false); err == nil {
		t.Error("a key that does not fit is taken")
	}
	select {
	case <-changed:
		t.Error("the roots are said to have changed")
	default:
	}
	if string(k.RootPEM()) != root {
		t.Error("what cannot be used is in the CA's place")
	}
	if err := k.Use(second, false); err != nil {
		t.Fatal(err)
	}
	<-changed
	if string(k.RootPEM()) == root {
		t.Error("the CA is the former one")
	}
}
