package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// Measured is what was measured on one mesh.
type Measured struct {
	Options Options   `json:"options"`
	Date    time.Time `json:"date"`
	Version string    `json:"version"`
	Results []*Result `json:"results"`
	// Errors are of scenarios that did not come to an end.
	Errors []string `json:"errors,omitempty"`
}

// Result gives a scenario's result, or nil.
func (s *Measured) Result(name string) *Result {
	for _, r := range s.Results {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Report is everything that was measured on one machine.
type Report struct {
	Machine Machine     `json:"machine"`
	Goals   []Goal      `json:"goals"`
	Series  []*Measured `json:"series"`
	// Beside are goals that others measure, see SetBeside.
	Beside []Goal `json:"beside,omitempty"`
	// Before are series of another server, with which Series are compared.
	Before []*Measured `json:"before,omitempty"`
}

// Add puts a series in, in place of a former one of its name, and compares it with the goals.
func (r *Report) Add(s *Measured) {
	for i, former := range r.Series {
		if former.Options.Name == s.Options.Name {
			r.Series[i] = s
			r.Goals = goals(r.Series)
			return
		}
	}
	r.Series = append(r.Series, s)
	r.Goals = goals(r.Series)
}

// SetBeside puts in what another program measured of a series of its own, in place of what it did before. Of the goals
// it gives all but whether they are met.
func (r *Report) SetBeside(series string, all []Goal) {
	r.Beside = slices.DeleteFunc(r.Beside, func(g Goal) bool { return g.Series == series })
	for _, g := range all {
		g.Series = series
		if g.Got != nil {
			g.judge(*g.Got)
		}
		r.Beside = append(r.Beside, g)
	}
}

// Failed lists the scenarios that did not come to an end.
func (r *Report) Failed() []string {
	var out []string
	for _, s := range r.Series {
		for _, e := range s.Errors {
			out = append(out, s.Options.Name+", "+e)
		}
	}
	return out
}

// JSON gives the report for machines.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	return append(b, '\n'), err
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	for _, s := range r.Series {
		if err := s.table(w); err != nil {
			return err
		}
	}
	if err := r.comparison(w); err != nil || len(r.Goals) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "goal\tseries\twhat\tmeasured\twanted\t")
	for _, g := range r.Goals {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", g.ID, g.Series, g.What, g.measured(), g.wanted(), g.Verdict())
	}
	return t.Flush()
}

// about tells what a series was measured on.
func (s *Measured) about() string {
	m := s.Options.Mesh
	gateways := ""
	if g := m.Gateways; g.Count > 0 {
		tls := ""
		if g.TLS {
			tls = " TLS"
		}
		gateways = fmt.Sprintf(", %d gateways with %d%s servers and %d routes each", g.Count, g.Servers, tls, g.Routes)
	}
	breadth := ""
	if b := m.Breadth; b != (mesh.Breadth{}) {
		breadth = fmt.Sprintf(", %d ServiceEntries, %d policies, %d EnvoyFilters", b.ServiceEntries, b.Policies, b.EnvoyFilters)
	}
	return fmt.Sprintf("%s: %d services x %d endpoints in %d namespaces, %d VirtualServices, %d DestinationRules%s%s; %d clients",
		s.Options.Name, m.Services, m.Endpoints, m.Namespaces, m.VirtualServices, m.DestinationRules, breadth, gateways, s.Options.Clients)
}

func (s *Measured) table(w io.Writer) error {
	fmt.Fprintf(w, "\n%s (%s, %s)\n", s.about(), s.Version, s.Date.Format(time.DateOnly))
	t := tabwriter.NewWriter(w, 0, 8, 1, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.Join([]string{
		"scenario", "clients", "changes", "to", "last p50", "p99 ms", "each p50", "p99 ms", "inside", "CPU s", "F", "ratio",
		"clients' CPU", "down", "up B/client", "Mallocs", "peak MiB", "KB/client", "",
	}, "\t"))
	for _, x := range s.Results {
		row(t, x.Name, x)
		if x.Against != nil {
			row(t, "against", x.Against)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, e := range s.Errors {
		fmt.Fprintf(w, "  FAILED %s\n", e)
	}
	for _, x := range s.Results {
		for _, n := range x.Notes {
			fmt.Fprintf(w, "  %s: %s\n", x.Name, n)
		}
		if x.Uninterested != nil && x.UninterestedAllocs != nil {
			fmt.Fprintf(w, "  %s: each client that a change is not for costs %.2f µs and %.2f allocations\n", x.Name, *x.Uninterested, *x.UninterestedAllocs)
		}
		if x.Stray > 0 {
			fmt.Fprintf(w, "  %s: %d messages went to clients that the changes are not for\n", x.Name, x.Stray)
		}
		if x.Missing > 0 {
			fmt.Fprintf(w, "  %s: %d acknowledgements did not come before the next change or the deadline\n", x.Name, x.Missing)
		}
		if x.Broken > 0 {
			fmt.Fprintf(w, "  %s: the server ended %d streams\n", x.Name, x.Broken)
		}
	}
	return nil
}

func row(w io.Writer, name string, x *Result) {
	var last, each Quantiles
	if x.Last != nil {
		last = *x.Last
	}
	if x.Each != nil {
		each = *x.Each
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\t%s\t%s\t%.2f\t%.0f\t%s\t\n", name,
		number(float64(x.Clients), "%.0f"), number(float64(x.Changes), "%.0f"), number(float64(x.Concerned), "%.0f"),
		number(last.P50, "%.1f"), number(last.P99, "%.1f"), number(each.P50, "%.1f"), number(each.P99, "%.1f"),
		number(x.Inside, "%.1f"), x.ServerCPU, number(x.FloorCPU, "%.3f"), number(x.Ratio(), "%.2f"), number(x.ClientCPU, "%.2f"),
		number(x.Down, "%.0f"), number(x.Up, "%.0f"), x.Allocs/1e6, x.Peak()/(1<<20), number(x.PerClient/1000, "%.0f"))
}

// number leaves out what was not measured.
func number(v float64, format string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
