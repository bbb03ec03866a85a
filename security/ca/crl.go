package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// revocations is what a plugged-in CA's file of revocation lists says.
type revocations struct {
	text []byte // in PEM, nil for none
	by   map[revoked]bool
}

// revoked is a certificate by its issuer's name (DER) and serial number (hex).
type revoked struct{ issuer, serial string }

// parseCRL reads lists of the given CAs. Envoy refuses every certificate of a CA without a list once there are
// lists, so that each of them has to have one.
func parseCRL(text []byte, authorities []*x509.Certificate) (revocations, error) {
	r := revocations{by: map[revoked]bool{}}
	if len(bytes.TrimSpace(text)) == 0 {
		return r, nil
	}
	var lists []*x509.RevocationList
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return r, fmt.Errorf("PEM block %q is no revocation list", block.Type)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return r, err
		}
		lists = append(lists, list)
		r.text = append(r.text, pem.EncodeToMemory(block)...)
		for _, e := range list.RevokedCertificateEntries {
			r.by[revoked{string(list.RawIssuer), e.SerialNumber.Text(16)}] = true
		}
	}
	if len(lists) == 0 {
		return r, errors.New("no revocation list in PEM")
	}
	for _, ca := range authorities {
		if !listed(lists, ca) {
			return r, fmt.Errorf("there is no list that %q has signed, without which proxies would refuse all that it signs", ca.Subject)
		}
	}
	return r, nil
}

func listed(lists []*x509.RevocationList, ca *x509.Certificate) bool {
	for _, l := range lists {
		if bytes.Equal(l.RawIssuer, ca.RawSubject) && l.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// CRL gives what the CAs have revoked, in PEM; nil where they have no list.
func (a *Authority) CRL() []byte { return a.revoked.text }

// Revoked tells of the first certificate of a verified chain that its issuer has revoked.
func (a *Authority) Revoked(chain []*x509.Certificate) error {
	for _, c := range chain {
		if serial := c.SerialNumber.Text(16); a.revoked.by[revoked{string(c.RawIssuer), serial}] {
			return fmt.Errorf("certificate %s of %q is revoked", serial, c.Issuer)
		}
	}
	return nil
}
