package incluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// AccessReviews asks an API server what somebody may do.
type AccessReviews interface {
	Create(ctx context.Context, review *authorizationv1.SubjectAccessReview, opts metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

const (
	// accessFor is how long a yes counts, as in Istio. A no is asked about again soon, since somebody may
	// wait for the right that he has just given.
	accessFor  = time.Minute
	deniedFor  = 5 * time.Second
	accessWait = 5 * time.Second // for an answer
)

// ServiceAccount of a gateway.
type ServiceAccount struct{ Namespace, Name string }

// SecretAccess knows which service accounts may list the Secrets of their namespace, so that their gateways
// may have certificates of them. It is safe for concurrent use.
type SecretAccess struct {
	reviews AccessReviews
	log     *slog.Logger

	mu   sync.Mutex
	kept map[ServiceAccount]*access
}

// access is what is known of one service account. Its lock is held while the API server is asked, so that of
// many that ask at once one asks it.
type access struct {
	mu      sync.Mutex
	allowed bool
	failure string // why it is not known, "" where it is
	until   time.Time
}

// NewSecretAccess asks by reviews.
func NewSecretAccess(reviews AccessReviews, log *slog.Logger) *SecretAccess {
	return &SecretAccess{reviews: reviews, log: log, kept: map[ServiceAccount]*access{}}
}

// Allowed tells whether a service account may list the Secrets of its namespace. While the API server does not
// answer its last answer counts, and no before the first.
func (s *SecretAccess) Allowed(ctx context.Context, who ServiceAccount) bool {
	s.mu.Lock()
	a := s.kept[who]
	if a == nil {
		a = &access{}
		s.kept[who] = a
	}
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().After(a.until) {
		s.ask(ctx, who, a)
	}
	return a.allowed
}

// ask asks the API server. The lock of what is known is held.
func (s *SecretAccess) ask(ctx context.Context, who ServiceAccount, a *access) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessWait) // others wait for it as well
	defer cancel()
	review, err := s.reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + who.Namespace + ":" + who.Name,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + who.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: who.Namespace, Verb: "list", Version: "v1", Resource: "secrets"},
	}}, metav1.CreateOptions{})
	a.until = time.Now().Add(deniedFor)
	if err != nil {
		a.failure = err.Error()
		return
	}
	a.allowed, a.failure = review.Status.Allowed, ""
	if a.allowed {
		a.until = time.Now().Add(accessFor)
	}
}

// ConnectedProxy is a proxy that Secrets are for, and whether it may have them as it was decided when it came.
type ConnectedProxy struct {
	ServiceAccount
	Secrets bool
}

// Run asks anew about the service accounts of connected proxies, tells changed of each that has another
// answer by now and which, and report what is denied, until ctx ends. Others are forgotten.
func (s *SecretAccess) Run(ctx context.Context, connected func() []ConnectedProxy, changed func(who ServiceAccount, allowed bool), report func([]model.Problem)) error {
	tick := time.NewTicker(deniedFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, other := map[ServiceAccount]bool{}, map[ServiceAccount]bool{}
		var problems []model.Problem
		for _, g := range connected() {
			allowed, seen := now[g.ServiceAccount]
			if !seen {
				allowed = s.Allowed(ctx, g.ServiceAccount)
				now[g.ServiceAccount] = allowed
				problems = append(problems, s.problems(g.ServiceAccount)...)
			}
			if g.Secrets != allowed {
				other[g.ServiceAccount] = true
			}
		}
		for who := range other {
			s.log.Info("what proxies may have has changed", "serviceAccount", who.Namespace+"/"+who.Name, "secrets", now[who])
			changed(who, now[who])
		}
		s.forget(now)
		report(problems)
	}
}

// problems tells why the gateways of a service account get no Secrets.
func (s *SecretAccess) problems(who ServiceAccount) []model.Problem {
	s.mu.Lock()
	a := s.kept[who]
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	why := ""
	switch {
	case a.failure != "":
		why = fmt.Sprintf("whether it may list the Secrets of its namespace is not known, so the last answer counts: %s", a.failure)
	case !a.allowed:
		why = "it may not list the Secrets of its namespace, so its proxies get no certificates of them; bind a Role that allows it"
	default:
		return nil
	}
	return []model.Problem{{
		Object:   model.Key{Kind: model.KindServiceAccount, Namespace: who.Namespace, Name: who.Name},
		Severity: model.SeverityWarning, Reason: model.ReasonDegraded, Message: why,
	}}
}

func (s *SecretAccess) forget(but map[ServiceAccount]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who := range s.kept {
		if _, used := but[who]; !used {
			delete(s.kept, who)
		}
	}
}
