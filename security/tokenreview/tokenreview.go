// Package tokenreview proves service-account tokens by asking the API server that issued them. What it refuses may be
// another issuer's. While it does not answer, a token may be so only if it names another issuer than the API server's.
// These are known from the tokens that it has accepted, and from the control plane's own. While none is known yet, no
// token may be of another. Clusters whose issuers have one name are not told apart then, so their callers wait as well.
package tokenreview

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
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
	// lifetime is how long an answer counts at most: a deleted pod's token is known no longer than that, and none
	// longer than it says itself.
	lifetime = 10 * time.Second
	deadline = 5 * time.Second
	maxKept  = 10000
	maxToken = 16 << 10
	// maxReviews are asked for at a time, and so many wait. The addresses that callers have take turns: one
	// that sends bad tokens waits for itself.
	maxReviews, maxWaiting = 16, 1024
	// podName is under which an API server says which pod a token is bound to. It takes such a token for as long as
	// the pod of this very UID is there, so the name is enough.
	podName = "authentication.kubernetes.io/pod-name"
	// accountPrefix begins the names of service accounts.
	accountPrefix = "system:serviceaccount:"
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	reviews     Reviews
	audiences   []string
	trustDomain string
	now         func() time.Time
	asking      *turn.Queue[string] // by address of the caller

	mu      sync.Mutex
	kept    map[[sha256.Size]byte]answer
	issuers map[string]bool // of tokens that the API server accepts
}

type answer struct {
	caller auth.Caller
	until  time.Time
}

// New gives a verifier of tokens for one of the audiences. now is time.Now if nil.
func New(reviews Reviews, audiences []string, trustDomain string, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{
		reviews: reviews, audiences: audiences, trustDomain: trustDomain, now: now,
		asking: turn.New[string](turn.Options{Slots: maxReviews, Places: maxWaiting}), kept: map[[sha256.Size]byte]answer{},
		issuers: map[string]bool{},
	}
}

// Own tells a token that the control plane shows to the API server itself. It is of use if it is a service account's.
func (v *Verifier) Own(token string) {
	says := claimsOf(token)
	if !strings.HasPrefix(says.Subject, accountPrefix) || says.Issuer == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.issuers[says.Issuer] = true
}

// Verify proves the identity of a token's bearer. Its errors never hold the token. A refusal is not
// remembered, since the next question may reach another API server.
func (v *Verifier) Verify(ctx context.Context, token string) (auth.Caller, error) {
	if len(token) > maxToken {
		return auth.Caller{}, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	hash := sha256.Sum256([]byte(token))
	if c, ok := v.known(hash); ok {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	leave, err := v.asking.Enter(ctx, auth.CallerAddress(ctx))
	if err != nil {
		return auth.Caller{}, v.unanswered(token, err)
	}
	defer leave()
	review, err := v.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: v.audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return auth.Caller{}, v.unanswered(token, err)
	}
	c, err := v.caller(&review.Status)
	if err != nil {
		return auth.Caller{}, err
	}
	v.keep(hash, c, claimsOf(token))
	return c, nil
}

// unanswered gives the error for a token about which the API server does not answer.
func (v *Verifier) unanswered(token string, err error) error {
	issuer := claimsOf(token).Issuer
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.issuers) > 0 && !v.issuers[issuer] {
		return fmt.Errorf("review of the token: %w", err)
	}
	return fmt.Errorf("review of the token: %w: %w", auth.ErrUnanswered, err)
}

// caller reads what the API server says of a token.
func (v *Verifier) caller(s *authenticationv1.TokenReviewStatus) (auth.Caller, error) {
	if !s.Authenticated {
		return auth.Caller{}, errors.New("the API server does not accept the token")
	}
	// An API server that knows no audiences gives none back, and so has not checked them.
	if !slices.ContainsFunc(s.Audiences, func(a string) bool { return slices.Contains(v.audiences, a) }) {
		return auth.Caller{}, fmt.Errorf("token is for none of the audiences %v", v.audiences)
	}
	rest, ok := strings.CutPrefix(s.User.Username, accountPrefix)
	namespace, name, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return auth.Caller{}, errors.New("token subject is not a service account")
	}
	pod := ""
	if names := s.User.Extra[podName]; len(names) == 1 {
		pod = names[0]
	}
	return auth.NewCaller(v.trustDomain, namespace, name, pod)
}

func (v *Verifier) known(hash [sha256.Size]byte) (auth.Caller, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, ok := v.kept[hash]
	return a.caller, ok && v.now().Before(a.until)
}

// keep remembers an answer, until the token ends at the latest if that is known, and who issued it.
func (v *Verifier) keep(hash [sha256.Size]byte, c auth.Caller, says claims) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) >= maxKept {
		clear(v.kept)
	}
	until := v.now().Add(lifetime)
	if expires := says.Expires.Time(); !expires.IsZero() && expires.Before(until) { // zero for none
		until = expires
	}
	v.kept[hash] = answer{c, until}
	if says.Issuer != "" {
		v.issuers[says.Issuer] = true
	}
}

// claims are what a token says of itself.
type claims struct {
	Issuer  string           `json:"iss"`
	Subject string           `json:"sub"`
	Expires *jwt.NumericDate `json:"exp"`
}

// claimsOf reads the claims of a token, whose signature only the API server knows to be right. They are empty where the
// token does not say so: an old one of a Secret never ends, and one of another kind only the API server can read.
func claimsOf(token string) (out claims) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(data, &out) != nil {
		return claims{}
	}
	return out
}
