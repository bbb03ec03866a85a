package localnode

import (
	"errors"
	"os"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// TestDownOfBrokenState takes down what killed, former or broken runs left, and all of it at once.
func TestDownOfBrokenState(t *testing.T) {
	for name, record := range map[string]string{
		"none":   "",
		"broken": "{\"plan\":",
		"former": `{"plan":{"block":"10.64.0.0/16"},"hostLink":"ph-lnbroken","mountNS":"mnt:[1]","netNS":"net:[1]","gateway":"10.64.0.1","old":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := state.Dir{Root: root, Name: "lnbroken"}
			if err := os.MkdirAll(dir.Path("memory"), 0o711); err != nil {
				t.Fatal(err)
			}
			if record != "" {
				if err := os.WriteFile(dir.Path("record.json"), []byte(record), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			downs := make(chan error)
			for range 2 {
				go func() { downs <- Down(t.Context(), root, "lnbroken") }()
			}
			for range 2 {
				if err := <-downs; err != nil && !errors.Is(err, ErrNoMesh) {
					t.Error(err)
				}
			}
			if _, err := os.Stat(dir.Path()); !os.IsNotExist(err) {
				t.Errorf("the directory is still there: %v", err)
			}
		})
	}
}
