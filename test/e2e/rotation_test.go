package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotateRoot rotates the CA's root to a new key, and sees that at the end no proxy trusts the former one. The
// mesh is under load meanwhile.
func (m *mesh) rotateRoot(t *testing.T) {
	t.Helper()
	file := filepath.Join("/run/pilothouse", m.name, "ca/root-cert.pem")
	roots := func() string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	former := roots()
	serial := m.secretSerial(t, "reviews-v1")
	m.ctl(t, "ca", "rotate", "start") // returns when the new key signs
	if both := roots(); strings.Count(both, "BEGIN CERTIFICATE") != 2 || !strings.Contains(both, former) {
		t.Fatalf("roots while the rotation goes on: %s", both)
	}
	pods := m.proxies(t)
	for _, pod := range pods {
		eventually(t, time.Minute, pod+" trusts both roots", func() error { return m.trusts(pod, roots()) })
	}
	eventually(t, time.Minute, "certificates are renewed by the new key", func() error {
		if m.secretSerial(t, "reviews-v1") == serial {
			return fmt.Errorf("serial %s", serial)
		}
		return nil
	})
	if _, err := m.try("ca", "rotate", "finish"); err == nil || !strings.Contains(err.Error(), "may live until") {
		t.Errorf("the former root is dropped while its certificates live: %v", err)
	}
	// Here they do not: each was renewed, within the half minute in which agents do that.
	eventually(t, time.Minute, "no proxy has a certificate of the former key", func() error {
		for _, pod := range pods {
			chain, err := secrets(m.ctl(t, "proxy-config", "secret", pod, "-o", "json"), "default", "tlsCertificate.certificateChain.inlineBytes")
			if err == nil {
				err = issuedBy(chain, former)
			}
			if err == nil {
				return fmt.Errorf("%s has one", pod)
			}
		}
		return nil
	})
	m.ctl(t, "ca", "rotate", "finish", "--wait", "2m")
	left := roots()
	if strings.Count(left, "BEGIN CERTIFICATE") != 1 || left == former {
		t.Fatalf("roots at the end: %s", left)
	}
	for _, pod := range pods {
		eventually(t, time.Minute, pod+" trusts the new root alone", func() error { return m.trusts(pod, left) })
	}
}

// proxies gives the pods that have one.
func (m *mesh) proxies(t *testing.T) []string {
	t.Helper()
	var out []string
	for i, line := range strings.Split(strings.TrimSpace(m.ctl(t, "proxy-status")), "\n") {
		if i > 0 {
			out = append(out, strings.Fields(line)[0])
		}
	}
	if len(out) < 7 {
		t.Fatalf("only %v have a proxy", out)
	}
	return out
}

// secrets gives what a dump's secrets say under a name, decoded: roots or a certificate chain.
func secrets(dump, name, field string) (string, error) {
	var found any
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["name"] == name {
				if s, ok := v["secret"].(map[string]any); ok {
					found = s
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var all any
	if err := json.Unmarshal([]byte(dump), &all); err != nil {
		return "", err
	}
	walk(all)
	for _, key := range strings.Split(field, ".") {
		of, ok := found.(map[string]any)
		if !ok {
			return "", fmt.Errorf("secret %s has no %s: %.300s", name, field, dump)
		}
		found = of[key]
	}
	text, _ := found.(string)
	data, err := base64.StdEncoding.DecodeString(text)
	return string(data), err
}

// issuedBy tells whether the first certificate of a chain verifies against a root.
func issuedBy(chain, root string) error {
	block, _ := pem.Decode([]byte(chain))
	if block == nil {
		return errors.New("no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(root))
	_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// trusts tells whether a proxy's Envoy verifies peers against just these roots.
func (m *mesh) trusts(pod, roots string) error {
	out, err := m.try("proxy-config", "secret", pod, "-o", "json")
	if err != nil {
		return err
	}
	got, err := secrets(out, "ROOTCA", "validationContext.trustedCa.inlineBytes")
	if err != nil {
		return err
	}
	for block := range strings.SplitAfterSeq(roots, "-----END CERTIFICATE-----\n") {
		if !strings.Contains(got, block) {
			return fmt.Errorf("a root is missing in %s", got)
		}
	}
	if len(got) != len(roots) {
		return fmt.Errorf("roots %s", got)
	}
	return nil
}
