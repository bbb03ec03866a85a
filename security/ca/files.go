package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files, those of Istio's cacerts Secret.
const (
	keyFile   = "ca-key.pem"
	certFile  = "ca-cert.pem"
	rootFile  = "root-cert.pem"
	chainFile = "cert-chain.pem"
	crlFile   = "ca-crl.pem"
)

// material is what a CA consists of.
type material struct {
	key           crypto.Signer
	signer        *x509.Certificate
	intermediates []*x509.Certificate
	roots         []*x509.Certificate
	plugged       bool
	crl           []byte
}

// load takes the CA from the files or the directory; a key and a root that are missing in a directory are made.
func load(opts Options) (material, error) {
	switch {
	case opts.Files != nil && opts.Own:
		return loadOwn(opts.Files)
	case opts.Files != nil:
		return loadPlugged(opts.Files)
	case opts.Dir == "":
		key, err := newKey()
		if err != nil {
			return material{}, err
		}
		return selfSign(opts, key)
	}
	files, err := directory(opts.Dir).Read(context.Background())
	switch {
	case err != nil:
		return material{}, err
	case files[certFile] != nil:
		return loadPlugged(files)
	case files[rootFile] == nil:
		return create(opts, files[keyFile])
	}
	return loadOwn(files)
}

func loadPlugged(files map[string][]byte) (m material, err error) {
	m.plugged = true
	for _, name := range []string{keyFile, certFile} {
		if files[name] == nil {
			return m, fmt.Errorf("%s is missing", name)
		}
	}
	if m.key, err = parseKey(keyFile, files[keyFile]); err != nil {
		return m, err
	}
	signer, err := parseCerts(certFile, files[certFile])
	if err != nil {
		return m, err
	}
	m.signer, m.intermediates = signer[0], signer[1:]
	if len(files[rootFile]) == 0 {
		m.roots = signer[:1]
	} else if m.roots, err = parseCerts(rootFile, files[rootFile]); err != nil {
		return m, err
	}
	if len(files[chainFile]) > 0 {
		chain, err := parseCerts(chainFile, files[chainFile])
		if err != nil {
			return m, err
		}
		m.intermediates = append(m.intermediates, chain...)
	}
	m.crl = files[crlFile]
	return m, nil
}

// loadOwn takes a self-signed root, whose certificate is one of the roots. A certificate without a key is a mistake,
// and replacing it would cut off every workload, so that is refused. What another program keeps in our place may be
// no root; then it is as one that is plugged in.
func loadOwn(files map[string][]byte) (material, error) {
	if files[keyFile] == nil {
		return material{}, fmt.Errorf("%s is missing", keyFile)
	}
	key, err := parseKey(keyFile, files[keyFile])
	if err != nil {
		return material{}, err
	}
	name := rootFile
	if len(files[rootFile]) == 0 {
		name = certFile
	}
	roots, err := parseCerts(name, files[name])
	if err != nil {
		return material{}, err
	}
	signer := rootOf(key, roots)
	switch {
	case signer != nil:
		return material{key: key, signer: signer, roots: roots}, nil
	case files[certFile] != nil:
		return loadPlugged(files)
	}
	return material{}, fmt.Errorf("%s belongs to no certificate in %s", keyFile, name)
}

// SelfSigned makes the files of a new CA, as Options.Files takes them.
func SelfSigned(opts Options) (map[string][]byte, error) {
	opts.setDefaults()
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	m, err := selfSign(opts, key)
	if err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	root := certPEM(m.signer.Raw)
	return map[string][]byte{keyFile: text, certFile: root, rootFile: root}, nil
}

// create makes the root of a directory. A key without a certificate is what a crash between the two writes leaves.
func create(opts Options, haveKey []byte) (material, error) {
	key, err := newKey()
	if haveKey != nil {
		key, err = parseKey(keyFile, haveKey)
	}
	if err != nil {
		return material{}, err
	}
	m, err := selfSign(opts, key)
	if err != nil {
		return material{}, err
	}
	text := haveKey
	if text == nil {
		if text, err = keyPEM(key); err != nil {
			return material{}, err
		}
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return material{}, err
	}
	return m, directory(opts.Dir).Write(context.Background(), []Change{{keyFile, text}, {rootFile, rootsPEM(m.roots)}})
}

// rootOf gives the root of a key, the last to end if there are several, or nil.
func rootOf(key crypto.Signer, roots []*x509.Certificate) (root *x509.Certificate) {
	for _, r := range roots {
		if samePublicKey(key.Public(), r.PublicKey) && (root == nil || r.NotAfter.After(root.NotAfter)) {
			root = r
		}
	}
	return root
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func rootsPEM(roots []*x509.Certificate) []byte {
	var out []byte
	for _, r := range roots {
		out = append(out, certPEM(r.Raw)...)
	}
	return out
}

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func selfSign(opts Options, key crypto.Signer) (material, error) {
	now := opts.Clock()
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{opts.TrustDomain}, CommonName: "Pilothouse root"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(opts.RootTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return material{}, fmt.Errorf("self-signed root: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return material{}, fmt.Errorf("self-signed root: %w", err)
	}
	return material{key: key, signer: cert, roots: []*x509.Certificate{cert}}, nil
}

// parseKey accepts PKCS #8 and the older forms that openssl writes for EC and RSA.
func parseKey(path string, data []byte) (crypto.Signer, error) {
	var err error
	block, _ := pem.Decode(data)
	// openssl ecparam puts the curve before the key.
	for rest := data; block != nil && block.Type == "EC PARAMETERS"; {
		_, rest = pem.Decode(rest)
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%s: PEM block %q is not an unencrypted private key", path, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not a readable private key", path)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: key type %T cannot sign", path, key)
	}
	return signer, nil
}

func parseCerts(path string, data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: no certificate", path)
	}
	return certs, nil
}

// writeFile makes path appear whole, with its mode from the first byte on, and survive a crash.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
