package localnode_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
)

// tarOf gives a layer with the program as /app.
func tarOf(bin string) (io.ReadCloser, error) {
	content, err := os.ReadFile(bin)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	return io.NopCloser(&b), w.Close()
}
