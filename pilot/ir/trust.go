package ir

// TrustBundle holds the roots that a proxy verifies its peers against, each in PEM, first the one that
// certificates are signed by now.
type TrustBundle struct{ Roots []string }
