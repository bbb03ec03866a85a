package tokenreview

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// reviews answers as an API server that knows one token.
type reviews struct {
	status authenticationv1.TokenReviewStatus
	err    error
	asked  int
}

func (r *reviews) Create(_ context.Context, review *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	r.asked++
	review.Status = r.status
	return review, r.err
}

func status(user string, audiences ...string) authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: user}, Audiences: audiences}
}

func TestAnswers(t *testing.T) {
	const user = "system:serviceaccount:shop:cart"
	for name, c := range map[string]struct {
		reviews
		ok bool
	}{
		"a service account":     {reviews{status: status(user, "istio-ca")}, true},
		"another audience":      {reviews{status: status(user, "https://kubernetes.default.svc")}, false},
		"no audience":           {reviews{status: status(user)}, false},
		"a person":              {reviews{status: status("alice", "istio-ca")}, false},
		"half a name":           {reviews{status: status("system:serviceaccount:shop", "istio-ca")}, false},
		"a name with a slash":   {reviews{status: status("system:serviceaccount:shop:a/b", "istio-ca")}, false},
		"not authenticated":     {reviews{status: authenticationv1.TokenReviewStatus{Audiences: []string{"istio-ca"}}}, false},
		"an API server's fault": {reviews{err: errors.New("away")}, false},
	} {
		id, err := New(&c.reviews, []string{"istio-ca"}, "cluster.local", nil).Verify(t.Context(), "token")
		if (err == nil) != c.ok || c.ok && id.String() != "spiffe://cluster.local/ns/shop/sa/cart" {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}

func TestATokenIsBoundToThePodThatTheAPIServerNames(t *testing.T) {
	for name, c := range map[string]struct {
		said []string
		want string
		ok   bool
	}{
		"a pod":           {[]string{"cart-1"}, "cart-1", true},
		"none":            {nil, "", true},
		"two, so nobody":  {[]string{"cart-1", "cart-2"}, "", true},
		"what is no name": {[]string{"../cart"}, "", false},
	} {
		r := &reviews{status: status("system:serviceaccount:shop:cart", "istio-ca")}
		r.status.User.Extra = map[string]authenticationv1.ExtraValue{podName: c.said}
		v := New(r, []string{"istio-ca"}, "cluster.local", nil)
		for range 2 { // asked for, and kept
			if got, err := v.Verify(t.Context(), "token"); (err == nil) != c.ok || got.Pod != c.want {
				t.Errorf("%s: bound to %q, %v", name, got.Pod, err)
			}
		}
	}
}

func TestAnAnswerCountsForAWhile(t *testing.T) {
	now := time.Unix(0, 0)
	r := &reviews{status: status("system:serviceaccount:shop:cart", "istio-ca")}
	v := New(r, []string{"istio-ca"}, "cluster.local", func() time.Time { return now })
	verify := func(token string, asked int) {
		t.Helper()
		if _, err := v.Verify(t.Context(), token); err != nil || r.asked != asked {
			t.Errorf("%v, asked %d times, not %d", err, r.asked, asked)
		}
	}
	verify("a", 1)
	verify("a", 1)
	verify("b", 2)
	now = now.Add(lifetime)
	verify("a", 3)
	r.err, now = errors.New("away"), now.Add(lifetime)
	if _, err := v.Verify(t.Context(), "a"); err == nil {
		t.Error("an old answer counts")
	}
}

// token gives one of some claims; only an API server knows whether its signature is right.
func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// An answer counts no longer than the token that it is about, and no longer than others where that lives on.
func TestAnAnswerEndsWithItsToken(t *testing.T) {
	for name, c := range map[string]struct {
		token  func(now time.Time) string
		counts time.Duration
	}{
		"ends sooner":            {func(now time.Time) string { return token(fmt.Sprintf(`{"exp":%d}`, now.Unix()+3)) }, 3 * time.Second},
		"ends later":             {func(now time.Time) string { return token(fmt.Sprintf(`{"exp":%d}`, now.Unix()+3600)) }, lifetime},
		"has ended":              {func(now time.Time) string { return token(fmt.Sprintf(`{"exp":%d}`, now.Unix()-1)) }, 0},
		"does not end":           {func(time.Time) string { return token(`{"sub":"x"}`) }, lifetime},
		"no token with claims":   {func(time.Time) string { return "opaque" }, lifetime},
		"claims that are no map": {func(time.Time) string { return token(`[]`) }, lifetime},
		"claims in no base64":    {func(time.Time) string { return "a.*.b" }, lifetime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &reviews{status: status("system:serviceaccount:shop:cart", "istio-ca")}
				v := New(r, []string{"istio-ca"}, "cluster.local", nil)
				shown := c.token(time.Now())
				verify := func(asked int) {
					t.Helper()
					if _, err := v.Verify(t.Context(), shown); err != nil || r.asked != asked {
						t.Errorf("%v, asked %d times, not %d", err, r.asked, asked)
					}
				}
				verify(1)
				if c.counts > 0 {
					time.Sleep(c.counts - time.Nanosecond) // of the synctest bubble
					verify(1)
					time.Sleep(time.Nanosecond)
				}
				verify(2)
			})
		})
	}
}

// While the API server does not answer, a token is somebody else's only if it names another issuer than the API server's.
func TestATokenOfTheAPIServersOwnIssuerWaitsForIt(t *testing.T) {
	const account = "system:serviceaccount:shop:cart"
	own, other := token(`{"iss":"https://own","sub":"`+account+`"}`), token(`{"iss":"https://other","sub":"`+account+`"}`)
	for name, c := range map[string]struct {
		shown, accepted, refused string
		waits                    map[string]bool
	}{
		"no issuer is known":     {waits: map[string]bool{own: true, other: true, "opaque": true}},
		"a refused one":          {refused: other, waits: map[string]bool{own: true, other: true}},
		"an accepted one":        {accepted: own, waits: map[string]bool{own: true, other: false, "opaque": false}},
		"two accepted ones":      {shown: own, accepted: other, waits: map[string]bool{own: true, other: true}},
		"the control plane's":    {shown: own, waits: map[string]bool{own: true, other: false}},
		"a person's":             {shown: token(`{"iss":"https://own","sub":"alice"}`), waits: map[string]bool{own: true, other: true}},
		"an accepted opaque one": {accepted: "opaque", waits: map[string]bool{own: true, other: true}},
	} {
		r := &reviews{status: status(account, "istio-ca")}
		now := time.Unix(0, 0)
		v := New(r, []string{"istio-ca"}, "cluster.local", func() time.Time { return now })
		v.Own(c.shown)
		if c.accepted != "" {
			if _, err := v.Verify(t.Context(), c.accepted); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.status = authenticationv1.TokenReviewStatus{}
		if _, err := v.Verify(t.Context(), cmp.Or(c.refused, "no token")); err == nil || errors.Is(err, auth.ErrUnanswered) {
			t.Errorf("%s: a refusal is %v", name, err)
		}
		r.err, now = errors.New("away"), now.Add(lifetime)
		for token, waits := range c.waits {
			if _, err := v.Verify(t.Context(), token); err == nil || errors.Is(err, auth.ErrUnanswered) != waits {
				t.Errorf("%s: %s waits: %v, want %v", name, token, err, waits)
			}
		}
	}
}
