package ca

import (
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

// load takes the CA from the directory; a key and a root that are missing are made.
func load(opts Options) (material, error) {
	if opts.Files != nil {
		return loadPlugged(func(name string) ([]byte, error) { return opts.Files[name], nil })
	}
	if opts.Dir == "" {
		key, err := newKey()
		if err != nil {
			return material{}, err
		}
		return selfSign(opts, key)
	}
	if exists(filepath.Join(opts.Dir, certFile)) {
		return loadPlugged(func(name string) ([]byte, error) {
			data, err := os.ReadFile(filepath.Join(opts.Dir, name))
			if (name == chainFile || name == crlFile) && errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return data, err
		})
	}
	return loadOrCreate(opts)
}

func loadPlugged(read func(name string) ([]byte, error)) (m material, err error) {
	m.plugged = true
	data := map[string][]byte{}
	for _, name := range []string{keyFile, certFile, rootFile, chainFile, crlFile} {
		if data[name], err = read(name); err != nil {
			return m, err
		}
	}
	if m.key, err = parseKey(keyFile, data[keyFile]); err != nil {
		return m, err
	}
	signer, err := parseCerts(certFile, data[certFile])
	if err != nil {
		return m, err
	}
	m.signer, m.intermediates = signer[0], signer[1:]
	if len(data[rootFile]) == 0 {
		m.roots = signer[:1]
	} else if m.roots, err = parseCerts(rootFile, data[rootFile]); err != nil {
		return m, err
	}
	if len(data[chainFile]) > 0 {
		chain, err := parseCerts(chainFile, data[chainFile])
		if err != nil {
			return m, err
		}
		m.intermediates = append(m.intermediates, chain...)
	}
	m.crl = data[crlFile]
	return m, nil
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
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	root := certPEM(m.signer.Raw)
	return map[string][]byte{
		keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certFile: root, rootFile: root,
	}, nil
}

// loadOrCreate reads the self-signed root. A key without a certificate is what a crash between the
// two writes leaves; a certificate without a key is a mistake, and replacing it would cut off
// every workload, so that is refused.
func loadOrCreate(opts Options) (material, error) {
	keyPath, rootPath := filepath.Join(opts.Dir, keyFile), filepath.Join(opts.Dir, rootFile)
	haveKey, haveRoot := exists(keyPath), exists(rootPath)
	if haveRoot {
		key, err := readKey(keyPath)
		if err != nil {
			return material{}, err
		}
		roots, err := readCerts(rootPath)
		if err != nil {
			return material{}, err
		}
		signer := rootOf(key, roots)
		if signer == nil {
			return material{}, fmt.Errorf("%s belongs to no certificate in %s", keyPath, rootPath)
		}
		if roots, err = withNext(opts, roots); err != nil {
			return material{}, err
		}
		return material{key: key, signer: signer, roots: roots}, nil
	}
	var key crypto.Signer
	var err error
	if haveKey {
		key, err = readKey(keyPath)
	} else {
		key, err = createKey(opts.Dir, keyPath)
	}
	if err != nil {
		return material{}, err
	}
	m, err := selfSign(opts, key)
	if err != nil {
		return material{}, err
	}
	return m, writeFile(rootPath, certPEM(m.signer.Raw), 0o644)
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

// withNext adds the root of the key that is to sign next, where there is one. The first time it is made.
func withNext(opts Options, roots []*x509.Certificate) ([]*x509.Certificate, error) {
	path := filepath.Join(opts.Dir, nextKeyFile)
	if !exists(path) {
		return roots, nil
	}
	key, err := readKey(path)
	if err != nil || rootOf(key, roots) != nil {
		return roots, err
	}
	m, err := selfSign(opts, key)
	if err != nil {
		return nil, err
	}
	roots = append(roots, m.signer)
	return roots, writeRoots(opts.Dir, roots)
}

func createKey(dir, path string) (crypto.Signer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
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

// readKey accepts PKCS #8 and the older forms that openssl writes for EC and RSA.
func readKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseKey(path, data)
}

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

func readCerts(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseCerts(path, data)
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
