package proxystatus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// Compare prints for clusters, listeners and routes whether the proxy runs what it was sent, and
// where not, how they differ. Static resources of the bootstrap are nobody's sending. It tells
// whether all match.
func Compare(w io.Writer, sent, runs *proxyconfig.Dump) (same bool, err error) {
	same = true
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
			return false, fmt.Errorf("%s as sent: %w", part.name, err)
		}
		got, err := canonical(part.runs)
		if err != nil {
			return false, fmt.Errorf("%s of the proxy: %w", part.name, err)
		}
		if d := diff.Diff("control plane", want, "proxy", got); d != nil {
			same = false
			fmt.Fprintf(w, "%s Don't Match\n%s", part.name, terminal.Lines(string(d)))
			continue
		}
		fmt.Fprintf(w, "%s Match\n", part.name)
	}
	return same, nil
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
