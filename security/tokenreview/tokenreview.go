// Package tokenreview proves service-account tokens by asking the API server that issued them.
package tokenreview

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/turn"
)

// Reviews asks an API server about a token.
type Reviews interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, opts metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

const (
	// lifetime is how long an answer counts: a deleted pod's token is known no longer than that.
	lifetime = 10 * time.Second
	deadline = 5 * time.Second
	maxKept  = 10000
	maxToken = 16 << 10
	// maxReviews are asked for at a time, and so many wait. The addresses that callers have take turns: one
	// that sends bad tokens waits for itself.
	maxReviews, maxWaiting = 16, 1024
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	reviews     Reviews
	audiences   []string
	trustDomain string
	now         func() time.Time
	asking      *turn.Queue[string] // by address of the caller

	mu   sync.Mutex
	kept map[[sha256.Size]byte]answer
}

type answer struct {
	identity auth.Identity
	until    time.Time
}

// New gives a verifier of tokens for one of the audiences. now is time.Now if nil.
func New(reviews Reviews, audiences []string, trustDomain string, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{
		reviews: reviews, audiences: audiences, trustDomain: trustDomain, now: now,
		asking: turn.New[string](turn.Options{Slots: maxReviews, Places: maxWaiting}), kept: map[[sha256.Size]byte]answer{},
	}
}

// Verify proves the identity of a token's bearer. Its errors never hold the token. A refusal is not
// remembered, since the next question may reach another API server.
func (v *Verifier) Verify(ctx context.Context, token string) (auth.Identity, error) {
	if len(token) > maxToken {
		return auth.Identity{}, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	hash := sha256.Sum256([]byte(token))
	if id, ok := v.known(hash); ok {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	leave, err := v.asking.Enter(ctx, auth.CallerAddress(ctx))
	if err != nil {
		return auth.Identity{}, fmt.Errorf("review of the token: %w", err)
	}
	defer leave()
	review, err := v.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: v.audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return auth.Identity{}, fmt.Errorf("review of the token: %w", err)
	}
	id, err := v.identity(&review.Status)
	if err != nil {
		return auth.Identity{}, err
	}
	v.keep(hash, id)
	return id, nil
}

// identity reads what the API server says of a token.
func (v *Verifier) identity(s *authenticationv1.TokenReviewStatus) (auth.Identity, error) {
	if !s.Authenticated {
		return auth.Identity{}, errors.New("the API server does not accept the token")
	}
	// An API server that knows no audiences gives none back, and so has not checked them.
	if !slices.ContainsFunc(s.Audiences, func(a string) bool { return slices.Contains(v.audiences, a) }) {
		return auth.Identity{}, fmt.Errorf("token is for none of the audiences %v", v.audiences)
	}
	rest, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, name, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return auth.Identity{}, errors.New("token subject is not a service account")
	}
	id := auth.Identity{TrustDomain: v.trustDomain, Namespace: namespace, ServiceAccount: name}
	if err := id.Validate(); err != nil {
		return auth.Identity{}, fmt.Errorf("token subject: %w", err)
	}
	return id, nil
}

func (v *Verifier) known(hash [sha256.Size]byte) (auth.Identity, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, ok := v.kept[hash]
	return a.identity, ok && v.now().Before(a.until)
}

func (v *Verifier) keep(hash [sha256.Size]byte, id auth.Identity) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) >= maxKept {
		clear(v.kept)
	}
	v.kept[hash] = answer{id, v.now().Add(lifetime)}
}
