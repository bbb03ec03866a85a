// Package proxystatus shows how far each proxy is in step with its control plane: a table of all
// of them, and for one the difference between what it was sent and what its Envoy runs.
package proxystatus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Proxy is one row, as the control plane's /debug/pilothouse/syncz gives it.
type Proxy struct {
	Name    string          `json:"proxy"` // pod.namespace
	Cluster string          `json:"cluster"`
	Istiod  string          `json:"istiod"`
	Version string          `json:"version"`
	Types   map[string]Type `json:"types"` // by cds, lds, eds, rds, …
}

// Type is one cell.
type Type struct {
	State      string  `json:"state"`
	AgeSeconds float64 `json:"ageSeconds"`
	Resources  int     `json:"resources"`
	Error      string  `json:"error,omitempty"`
	// Refused is what is not in force since the proxy refused it: by what object, and what runs instead.
	Refused []debug.Problem `json:"refused,omitempty"`
	// Kept is what the proxy has on purpose though it is no more, for a while.
	Kept []debug.Kept `json:"kept,omitempty"`
}

// reasons says what was refused, by which object where that is known.
func (t *Type) reasons() []string {
	var out []string
	for _, p := range t.Refused {
		out = append(out, p.Model().String())
	}
	if len(out) == 0 && t.Error != "" {
		out = []string{t.Error}
	}
	return out
}

// Refused gives all that is not in force since the proxy refused it. It is never nil.
func (p *Proxy) Refused() []model.Problem {
	out := []model.Problem{}
	for _, short := range slices.Sorted(maps.Keys(p.Types)) {
		for _, refused := range p.Types[short].Refused {
			out = append(out, refused.Model())
		}
	}
	return out
}

// columns are the types of the table, in its order.
var columns = []string{"cds", "lds", "eds", "rds"}

// Parse reads what the control plane gives, sorted by name.
func Parse(data []byte) ([]Proxy, error) {
	var all []Proxy
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("the control plane's answer is not a list of proxies: %w", err)
	}
	slices.SortFunc(all, func(a, b Proxy) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// cell gives STATE (age); a type that the control plane knows nothing of was never asked for.
func (p *Proxy) cell(column string) string {
	t, ok := p.Types[column]
	if !ok || t.State == "" {
		return "IGNORED"
	}
	if t.State == "NOT SENT" || t.State == "IGNORED" {
		return t.State
	}
	return t.State + " (" + duration.HumanDuration(time.Duration(t.AgeSeconds*float64(time.Second))) + ")"
}

// Print prints NAME, CLUSTER, CDS, LDS, EDS, RDS, ISTIOD, VERSION, and below the table what
// proxies said of what they refused.
func Print(w io.Writer, all []Proxy) error {
	var rows [][]string
	var refused []string
	for _, p := range all {
		row := []string{p.Name, p.Cluster}
		for _, c := range columns {
			row = append(row, p.cell(c))
			t := p.Types[c]
			for _, why := range t.reasons() {
				refused = append(refused, fmt.Sprintf("%s %s: %s", p.Name, strings.ToUpper(c), why))
			}
		}
		rows = append(rows, append(row, p.Istiod, cmp.Or(p.Version, "-")))
	}
	header := []string{"NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ISTIOD", "VERSION"}
	if err := terminal.Table(w, 5, header, rows); err != nil {
		return err
	}
	for _, r := range refused {
		if _, err := fmt.Fprintln(w, "\nrefused by "+terminal.Text(r)); err != nil {
			return err
		}
	}
	return nil
}

// Summary gives one word for the whole proxy: the worst of its types.
func (p *Proxy) Summary() string {
	worst := "SYNCED"
	for _, c := range columns {
		switch s := p.Types[c].State; s {
		case "ERROR":
			return s
		case "STALE":
			worst = s
		}
	}
	return worst
}
