package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/localnode"
)

// TestDownAfterDown takes away what a Down left that was killed when the first node was gone already.
func TestDownAfterDown(t *testing.T) {
	root := t.TempDir()
	second := filepath.Join(root, nodeName("half", 2))
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), root, "half"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second node's directory is there: %v", err)
	}
	if err := Down(t.Context(), root, "half"); !errors.Is(err, localnode.ErrNoMesh) {
		t.Errorf("without any node: %v", err)
	}
}
