package tokenreview

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
