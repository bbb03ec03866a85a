package bootstrap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnBootstrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.yaml")
	own := func(text string) (string, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := Own(sidecar(t), path)
		return string(data), err
	}
	if got, err := own("admin: {profile_path: /x}"); err != nil || !strings.Contains(got, `"profile_path": "/x"`) || !strings.Contains(got, "reviews-v1-5.default~") {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := own("node: {id: mine}"); err != nil || strings.Contains(got, "reviews") {
		t.Errorf("the user's node is not kept: %s, %v", got, err)
	}
	for text, want := range map[string]string{`{"node": {"id": "{{ .nodeID }}"}}`: "is a template", "[": "own.yaml"} {
		if _, err := own(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
	if _, err := Own(sidecar(t), path+".none"); err == nil {
		t.Error("a file that is not there is no error")
	}
}
