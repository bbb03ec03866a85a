package ir

import (
	"fmt"
	"io"
)

// Secret is what is fetched under an SDS name: a key pair, or authorities. It never prints what it holds.
type Secret struct {
	Name             string
	Certificate, Key []byte // PEM; empty where it is authorities
	OCSPStaple       []byte // DER
	Authorities, CRL []byte // PEM
}

// Format implements fmt.Formatter for all verbs, so that no key reaches a log by accident.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.Name+" [redacted]") }
