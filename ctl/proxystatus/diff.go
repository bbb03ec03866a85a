package proxystatus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// Part is a type of resources of one proxy.
type Part struct {
	Type       string `json:"type"` // Clusters, Listeners or Routes
	Match      bool   `json:"match"`
	Difference string `json:"difference,omitempty"` // of what was sent from what runs, as diff has it
}

// Compare tells for clusters, listeners and routes whether the proxy runs what it was sent, and
// where not, how they differ. Static resources of the bootstrap are nobody's sending.
func Compare(sent, runs *proxyconfig.Dump) ([]Part, error) {
	var out []Part
	for _, part := range []struct {
		name       string
		sent, runs []proxyconfig.Resource
	}{
		{"Clusters", sent.Clusters, runs.Clusters},
		{"Listeners", sent.Listeners, runs.Listeners},
		{"Routes", sent.Routes, runs.Routes},
	} {
		want, err := canonical(part.sent)
		if err != nil {
			return nil, fmt.Errorf("%s as sent: %w", part.name, err)
		}
		got, err := canonical(part.runs)
		if err != nil {
			return nil, fmt.Errorf("%s of the proxy: %w", part.name, err)
		}
		d := diff.Diff("control plane", want, "proxy", got)
		out = append(out, Part{part.name, d == nil, string(d)})
	}
	return out, nil
}

// Same tells whether all parts match.
func Same(all []Part) bool {
	return !slices.ContainsFunc(all, func(p Part) bool { return !p.Match })
}

// PrintParts prints whether each part matches, and how it differs.
func PrintParts(w io.Writer, all []Part) error {
	for _, p := range all {
		text := p.Type + " Match\n"
		if !p.Match {
			text = fmt.Sprintf("%s Don't Match\n%s", p.Type, terminal.Lines(p.Difference))
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// canonical writes the dynamic resources, which come sorted by name, with the fields of each
// sorted, so that two programs' ways of printing JSON make no difference.
func canonical(all []proxyconfig.Resource) ([]byte, error) {
	var out bytes.Buffer
	for _, r := range all {
		if r.Static || r.Name == "" || r.State == "DRAINING" {
			continue
		}
		var v any
		if err := json.Unmarshal(r.Raw, &v); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		out.Write(data)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}
