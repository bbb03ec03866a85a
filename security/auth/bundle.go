package auth

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bundle holds the roots of a SPIFFE bundle (SPIFFE Trust Domain and Bundle, 4).
type Bundle struct {
	// Roots has one PEM an element, sorted. There is none where the trust domain has taken all back.
	Roots []string
	// Sequence is larger in a later bundle of the same trust domain; nil where the bundle has none.
	Sequence *uint64
	// Refresh is after what time the bundle wishes to be fetched again, whatever it says; zero for no wish.
	Refresh time.Duration
}

// Bundle gets the SPIFFE bundle at an https URL, whose server is proven by the roots of the machine (the profile
// https_web). What is not https could give anybody's roots.
func (k KeySets) Bundle(ctx context.Context, address string) (Bundle, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" {
		return Bundle{}, fmt.Errorf("%q is not an https URL", address)
	}
	data, err := getDocument(ctx, k.Client, address)
	if err != nil {
		return Bundle{}, err
	}
	b, err := parseBundle(data)
	if err != nil {
		return Bundle{}, fmt.Errorf("%s: %w", address, err)
	}
	return b, nil
}

// parseBundle takes the roots of X.509 identities out of a bundle. A certificate that is no CA's is refused: Envoy
// would take it as a root all the same, and with it whatever holds its key.
func parseBundle(data []byte) (Bundle, error) {
	got, err := spiffebundle.Parse(spiffeid.TrustDomain{}, data)
	if err != nil {
		return Bundle{}, err
	}
	var out Bundle
	out.Refresh, _ = got.RefreshHint()
	if n, ok := got.SequenceNumber(); ok {
		out.Sequence = &n
	}
	for i, root := range got.X509Authorities() {
		if !root.BasicConstraintsValid || !root.IsCA {
			return Bundle{}, fmt.Errorf("root %d is the certificate of no CA", i)
		}
		out.Roots = append(out.Roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})))
	}
	slices.Sort(out.Roots) // another order is no change
	return out, nil
}
