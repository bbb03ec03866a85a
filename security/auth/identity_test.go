package auth

import (
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	id, err := ParseIdentity("spiffe://cluster.local/ns/default/sa/bookinfo-reviews")
	if err != nil || id != (Identity{"cluster.local", "default", "bookinfo-reviews"}) {
		t.Fatal(id, err)
	}
	for _, bad := range []string{
		"", "spiffe://", "cluster.local/ns/a/sa/b", "SPIFFE://cluster.local/ns/a/sa/b",
		"spiffe://cluster.local/ns/a/sa/b/", "spiffe://cluster.local/ns/a/sa/b/c", "spiffe://cluster.local/ns//sa/b",
		"spiffe://cluster.local/ns/a/sa/", "spiffe:///ns/a/sa/b", "spiffe://cluster.local:80/ns/a/sa/b",
		"spiffe://me@cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/b?x", "spiffe://cluster.local/ns/a/sa/b#x",
		"spiffe://cluster.local/ns/a%2fb/sa/b", "spiffe://cluster.local/ns/../sa/b", "spiffe://cluster.local/sa/a/ns/b",
		"spiffe://Cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/b\n", "spiffe://cluster.local/ns/-a/sa/b",
		"spiffe://" + strings.Repeat("a", 3000) + "/ns/a/sa/b",
	} {
		if id, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q read as %v", bad, id)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("spiffe://cluster.local/ns/default/sa/reviews")
	f.Add("spiffe://a/ns/../sa/%2e")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			return
		}
		if id.String() != s || id.URL().String() != s {
			t.Errorf("%q is read as %v, written %q and %q", s, id, id, id.URL())
		}
	})
}
