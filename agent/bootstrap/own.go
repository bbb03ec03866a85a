package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Own gives the user's bootstrap (ISTIO_BOOTSTRAP, customConfigFile), YAML or JSON, in the place of the
// built one. It gets this proxy's node where it has none. Templates are refused: what Istio's are filled
// with is another Envoy's bootstrap, and changes with each release.
func Own(c Config, path string) ([]byte, error) {
	if err := c.Node.check(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if bytes.Contains(text, []byte("{{")) {
		return nil, fmt.Errorf("bootstrap: %s is a template, which is not supported: "+
			"give a whole bootstrap, or ISTIO_BOOTSTRAP_OVERRIDE, which Envoy merges over the built one", path)
	}
	b := object{}
	if err := yaml.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("bootstrap: %s: %w", path, err)
	}
	if b["node"] == nil {
		b["node"] = c.node()
	}
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %s: %w", path, err)
	}
	return append(data, '\n'), nil
}
