package proxyconfig

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"strconv"
	"time"
)

type dataSource struct {
	InlineBytes  string `json:"inlineBytes"`
	InlineString string `json:"inlineString"`
	Filename     string `json:"filename"`
}

// certificate gives the first certificate in the source, nil where there is none to be read.
func (d *dataSource) certificate() *x509.Certificate {
	data := []byte(d.InlineString)
	if d.InlineBytes != "" {
		decoded, err := base64.StdEncoding.DecodeString(d.InlineBytes)
		if err != nil {
			return nil
		}
		data = decoded
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

type secretMessage struct {
	TLS *struct {
		Chain *dataSource `json:"certificateChain"`
	} `json:"tlsCertificate"`
	Validation *struct {
		CA *dataSource `json:"trustedCa"`
	} `json:"validationContext"`
}

// PrintSecrets prints RESOURCE NAME, TYPE, STATUS, VALID CERT, SERIAL NUMBER, NOT AFTER, NOT
// BEFORE, TRUST DOMAIN. Valid is judged at the time now. Envoy hides private keys from its dump. Other
// formats give the section of the dump (admin.v3.SecretsConfigDump), as Istio's tool does.
func (d *Dump) PrintSecrets(w io.Writer, format Format, now time.Time) error {
	if format != Short {
		return section(w, format, d.secrets)
	}
	var rows [][]string
	for _, s := range d.Secrets {
		row, err := s.row(now)
		if err != nil {
			return fmt.Errorf("secret %s: %w", s.Name, err)
		}
		rows = append(rows, row)
	}
	return table(w, 5, "RESOURCE NAME\tTYPE\tSTATUS\tVALID CERT\tSERIAL NUMBER\tNOT AFTER\tNOT BEFORE\tTRUST DOMAIN", rows)
}

func (s *Secret) row(now time.Time) ([]string, error) {
	var m secretMessage
	if len(s.Raw) > 0 {
		if err := json.Unmarshal(s.Raw, &m); err != nil {
			return nil, err
		}
	}
	kind, source := "", (*dataSource)(nil)
	switch {
	case m.TLS != nil:
		kind, source = "Cert Chain", m.TLS.Chain
	case m.Validation != nil:
		kind, source = "CA", m.Validation.CA
	}
	row := []string{s.Name, kind, cmp.Or(s.State, "ACTIVE"), "false", "", "", "", ""}
	if source == nil {
		return row, nil
	}
	cert := source.certificate()
	if cert == nil {
		return row, nil
	}
	row[3] = strconv.FormatBool(now.After(cert.NotBefore) && now.Before(cert.NotAfter))
	row[4] = hex.EncodeToString(cert.SerialNumber.Bytes()) // whole bytes, as every other tool has them
	row[5], row[6] = cert.NotAfter.UTC().Format(time.RFC3339), cert.NotBefore.UTC().Format(time.RFC3339)
	if len(cert.URIs) > 0 {
		row[7] = cert.URIs[0].Host
	}
	return row, nil
}
