package secret

import (
	"context"
	"os"
	"path/filepath"
)

// output writes the workload's certificate, key and roots into a directory whenever they change. A failure
// is told and tried again with the next change: who reads the files has the former ones until then.
func (m *Manager) output(ctx context.Context) {
	written := ""
	for {
		changed := m.Changed()
		cert, certErr := m.Secret(Workload)
		roots, rootErr := m.Secret(Root)
		if certErr == nil && rootErr == nil && cert != nil && roots != nil && written != cert.Version+roots.Version {
			if err := writeOutput(m.cfg.OutputDir, cert, roots); err != nil {
				m.cfg.Logger.Error("workload certificate not written", "directory", m.cfg.OutputDir, "error", err)
			} else {
				written = cert.Version + roots.Version
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// writeOutput replaces each file in one step. The key is written first and readable by its owner alone; a
// reader that finds a pair that does not fit has to read again, as with any two files.
func writeOutput(dir string, cert, roots *Value) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{keyFile, cert.PrivateKey, 0o600}, {certFile, cert.CertificateChain, 0o644}, {rootFile, roots.Roots, 0o644}} {
		if err := replaceFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

func replaceFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has its name
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
