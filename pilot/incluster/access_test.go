package incluster

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// reviews allow what an API server's rules say at the time.
type reviews struct {
	mu      sync.Mutex
	allowed bool
	failure error
	asked   []authorizationv1.SubjectAccessReviewSpec
}

func (r *reviews) Create(_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	runtime.Gosched() // who asks as well gets on
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, review.Spec)
	if r.failure != nil {
		return nil, r.failure
	}
	review.Status.Allowed = r.allowed
	return review, nil
}

func (r *reviews) set(allowed bool, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed, r.failure = allowed, failure
}

var edge = ServiceAccount{"edge", "gateway"}

func TestManyGatewaysOfAServiceAccountAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reviews{allowed: true}
		s := NewSecretAccess(r, slog.New(slog.DiscardHandler))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if !s.Allowed(t.Context(), edge) {
					t.Error("denied")
				}
			})
		}
		all.Wait()
		if len(r.asked) != 1 {
			t.Fatalf("asked %d times", len(r.asked))
		}
		q := r.asked[0]
		if a := q.ResourceAttributes; q.User != "system:serviceaccount:edge:gateway" || a.Namespace != "edge" || a.Verb != "list" || a.Resource != "secrets" ||
			!slices.Contains(q.Groups, "system:serviceaccounts:edge") {
			t.Errorf("asked %+v", q)
		}
		r.set(false, errors.New("away"))
		time.Sleep(accessFor + time.Second)
		if !s.Allowed(t.Context(), edge) {
			t.Error("an API server that is away takes a right back")
		}
		if s.Allowed(t.Context(), ServiceAccount{"edge", "other"}) {
			t.Error("one of whom nothing is known is allowed")
		}
		r.set(false, nil)
		time.Sleep(deniedFor + time.Second)
		if s.Allowed(t.Context(), edge) {
			t.Error("a right that was taken back stays")
		}
	})
}

func TestGatewaysAreToldOfAnotherAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reviews{}
		s := NewSecretAccess(r, slog.New(slog.DiscardHandler))
		var mu sync.Mutex
		has, ended := s.Allowed(t.Context(), edge), 0
		var problems []model.Problem
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx, func() []ConnectedProxy {
				mu.Lock()
				defer mu.Unlock()
				return []ConnectedProxy{{edge, has}, {edge, has}}
			}, func(who ServiceAccount, _ bool) {
				mu.Lock()
				defer mu.Unlock()
				ended++
				has = s.Allowed(ctx, who) // it comes back
			}, func(p []model.Problem) {
				mu.Lock()
				defer mu.Unlock()
				problems = p
			})
		}()
		expect := func(secrets bool, wantEnded, wantProblems int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if has != secrets || ended != wantEnded || len(problems) != wantProblems {
				t.Errorf("secrets %v, ended %d times, problems %v", has, ended, problems)
			}
		}
		time.Sleep(2 * deniedFor)
		expect(false, 0, 1)
		r.set(true, nil)
		time.Sleep(3 * deniedFor)
		expect(true, 1, 0)
		r.set(true, errors.New("away"))
		time.Sleep(2 * accessFor)
		expect(true, 1, 1)
		r.set(false, nil)
		time.Sleep(2 * accessFor)
		expect(false, 2, 1)
		cancel()
		<-done
	})
}
