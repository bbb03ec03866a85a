package proxystatus

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
)

// Part is a type of resources of one proxy.
type Part struct {
	Type       string `json:"type"`                 // Clusters, Listeners or Routes; else the short name of a type of which something was refused
	Match      bool   `json:"match"`                // also where it is not compared
	Difference string `json:"difference,omitempty"` // of what was sent from what runs, as diff has it
	// Refused is what was not sent any more since the proxy refused it: by what object, and what runs instead.
	Refused []debug.Problem `json:"refused,omitempty"`
	// Kept is what runs on purpose though it was taken away, and is no difference: connections may still use it.
	Kept []debug.Kept `json:"kept,omitempty"`
}

// compared are the types that Compare compares, by their short names.
var compared = map[string]string{"cds": "Clusters", "lds": "Listeners", "rds": "Routes"}

// Refused adds to what was compared what the proxy refused.
func Refused(all []Part, p Proxy) []Part {
	for _, short := range slices.Sorted(maps.Keys(p.Types)) {
		refused, name := p.Types[short].Refused, cmp.Or(compared[short], short)
		if len(refused) == 0 {
			continue
		}
		i := slices.IndexFunc(all, func(part Part) bool { return part.Type == name })
		if i < 0 {
			i = len(all)
			all = append(all, Part{Type: name, Match: true})
		}
		all[i].Refused = append(all[i].Refused, refused...)
	}
	return all
}

// Compare tells for clusters, listeners and routes whether the proxy runs what it was sent, and
// where not, how they differ. Static resources of the bootstrap are nobody's sending, and what the control plane
// takes away later, as it says of the proxy, is no difference.
func Compare(sent, runs *proxyconfig.Dump, of Proxy) ([]Part, error) {
	clusters, kept := withoutKept(runs.Clusters, of.Types["cds"].Kept)
	var out []Part
	for _, part := range []struct {
		name       string
		sent, runs []proxyconfig.Resource
		kept       []debug.Kept
	}{
		{"Clusters", sent.Clusters, clusters, kept},
		{"Listeners", sent.Listeners, runs.Listeners, nil},
		{"Routes", sent.Routes, runs.Routes, nil},
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
		out = append(out, Part{Type: part.name, Match: d == nil, Difference: string(d), Kept: part.kept})
	}
	return out, nil
}

// withoutKept leaves out of what runs what is kept, and gives what of that runs.
func withoutKept(runs []proxyconfig.Resource, all []debug.Kept) (left []proxyconfig.Resource, kept []debug.Kept) {
	for _, r := range runs {
		if i := slices.IndexFunc(all, func(k debug.Kept) bool { return k.Name == r.Name }); i >= 0 {
			kept = append(kept, all[i])
			continue
		}
		left = append(left, r)
	}
	return left, kept
}

// Same tells whether all parts match.
func Same(all []Part) bool {
	return !slices.ContainsFunc(all, func(p Part) bool { return !p.Match })
}

// Whole tells whether nothing was refused.
func Whole(all []Part) bool {
	return !slices.ContainsFunc(all, func(p Part) bool { return len(p.Refused) > 0 })
}

// PrintParts prints whether each part matches, how it differs, and what of it was refused.
func PrintParts(w io.Writer, all []Part) error {
	for _, p := range all {
		text := p.Type + " Match\n"
		switch {
		case !slices.Contains(slices.Collect(maps.Values(compared)), p.Type):
			text = p.Type + " are not compared\n"
		case !p.Match:
			text = fmt.Sprintf("%s Don't Match\n%s", p.Type, terminal.Lines(p.Difference))
		}
		for _, refused := range p.Refused {
			text += "  refused: " + terminal.Text(refused.Model().String()) + "\n"
		}
		for _, k := range p.Kept {
			until := "the proxy has its listeners and routes without it"
			if !k.Until.IsZero() {
				until = k.Until.Local().Format(time.TimeOnly)
			}
			text += fmt.Sprintf("  kept until %s, as connections may still use it: %s\n", until, terminal.Text(k.Name))
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
