package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

const (
	minRSABits = 2048
	// maxRSABits: verifying a signature of a huge RSA key would cost the CA more than the caller.
	maxRSABits = 8192
)

// KeyName names the kind of a public key: "ECDSA P-256", "RSA 2048", "Ed25519".
func KeyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

// checkKey refuses keys of workloads that are too weak, or by which Envoy could not speak TLS.
func checkKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return fmt.Errorf("curve %s is neither P-256 nor P-384", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA key has %d bits, want %d to %d", bits, minRSABits, maxRSABits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("key type %T is not accepted", pub)
	}
	return nil
}

// checkAuthorityKey does so for a CA, whose signatures peers check by P-521 as well.
func checkAuthorityKey(pub crypto.PublicKey) error {
	if k, ok := pub.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P521() {
		return nil
	}
	return checkKey(pub)
}

// checkSignatureAlgorithm refuses those whose hash can be forged, MD5 and SHA-1, and those that are not known.
func checkSignatureAlgorithm(a x509.SignatureAlgorithm) error {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return nil
	case x509.UnknownSignatureAlgorithm:
		return fmt.Errorf("the signature is of no known algorithm")
	}
	return fmt.Errorf("the signature is of %s, want SHA-256 or better", a)
}
