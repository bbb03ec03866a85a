package store

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A set that several rules use is waited for as long as the one of them that waits longest, and no longer than a
// fetch may take.
func TestTheLongestTimeOfASetCounts(t *testing.T) {
	const common, slow, usual = "https://common.example", "https://slow.example", "https://usual.example"
	policy := func(name, url string, timeout time.Duration) *model.Object {
		rule := &security.JWTRule{Issuer: "a", JwksUri: url}
		if timeout != 0 {
			rule.Timeout = durationpb.New(timeout)
		}
		return &model.Object{
			Key:  model.Key{Kind: model.KindRequestAuthentication, Namespace: "default", Name: name},
			Spec: &security.RequestAuthentication{JwtRules: []*security.JWTRule{rule}},
		}
	}
	s := FromObjects([]*model.Object{
		policy("none", common, 0), policy("short", common, 2*time.Second), policy("long", common, 9*time.Second),
		policy("hours", slow, time.Hour), policy("usual", usual, 0),
	}, Options{Domain: "cluster.local"})
	want := map[string]time.Duration{common: 9 * time.Second, slow: model.MaxKeySetTimeout, usual: model.KeySetTimeout}
	got := s.Reader(nil).KeySources()
	for _, f := range got {
		if f.Timeout != want[f.URL] {
			t.Errorf("%s: %s, want %s", f.URL, f.Timeout, want[f.URL])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}
