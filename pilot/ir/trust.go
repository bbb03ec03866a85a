package ir

// TrustBundle holds the roots that a proxy verifies its peers against, each in PEM, first the one that
// certificates are signed by now.
type TrustBundle struct {
	Roots []string
	// Domains are the trust domains that have roots, by name, where there are several; nil where Roots are for
	// all identities.
	Domains []TrustDomain
}

// TrustDomain is one whose identities are verified by roots of its own.
type TrustDomain struct {
	Name string
	// Roots, each in PEM; none for the mesh's own, to which those of the TrustBundle belong.
	Roots []string
}
