package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// ReadReport reads what JSON has written: latest.json, or the output of a former run.
func ReadReport(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

// figure is one that is compared; get gives 0 where it was not measured.
type figure struct {
	name, format string
	get          func(*Result) float64
}

func figures() []figure {
	return []figure{
		{"last p50 ms", "%.1f", func(x *Result) float64 { return quantileOr0(x.Last, func(q *Quantiles) float64 { return q.P50 }) }},
		{"last p99 ms", "%.1f", func(x *Result) float64 { return quantileOr0(x.Last, func(q *Quantiles) float64 { return q.P99 }) }},
		{"CPU ms", "%.2f", func(x *Result) float64 { return 1000 * per(x.ServerCPU, float64(max(1, x.Changes))) }},
		{"to F", "%.2f", (*Result).Ratio},
		{"down B", "%.0f", func(x *Result) float64 { return per(x.Down, float64(max(1, x.Changes))) }},
		{"mallocs", "%.0f", func(x *Result) float64 { return per(x.Allocs, float64(max(1, x.Changes))) }},
		{"KB/client", "%.1f", func(x *Result) float64 { return x.PerClient / 1000 }},
		{"live MiB", "%.0f", func(x *Result) float64 { return x.Live / (1 << 20) }},
	}
}

func quantileOr0(q *Quantiles, get func(*Quantiles) float64) float64 {
	v, _ := quantile(q, get)
	return v
}

// comparison writes what both reports have measured side by side: figures of a change where there
// are changes, else of the scenario.
func (r *Report) comparison(w io.Writer) error {
	for _, after := range r.Series {
		i := slices.IndexFunc(r.Before, func(s *Measured) bool { return s.Options.Name == after.Options.Name })
		if i < 0 {
			continue
		}
		before := r.Before[i]
		fmt.Fprintf(w, "\n%s: before (%s) -> after (%s), CPU, bytes and mallocs for each change\n", after.Options.Name, before.Version, after.Version)
		if before.about() != after.about() {
			fmt.Fprintf(w, "  before, it was another mesh: %s\n", before.about())
		}
		if err := compare(w, before, after); err != nil {
			return err
		}
	}
	return nil
}

func compare(w io.Writer, before, after *Measured) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	line := []string{"scenario"}
	for _, f := range figures() {
		line = append(line, f.name)
	}
	fmt.Fprintln(t, strings.Join(line, "\t")+"\t")
	for _, x := range after.Results {
		former := before.Result(x.Name)
		if former == nil {
			continue
		}
		line = []string{x.Name}
		for _, f := range figures() {
			line = append(line, f.compare(former, x))
		}
		fmt.Fprintln(t, strings.Join(line, "\t")+"\t")
	}
	return t.Flush()
}

// compare writes both values and the ratio of the second to the first.
func (f *figure) compare(before, after *Result) string {
	a, b := f.get(before), f.get(after)
	if a == 0 && b == 0 {
		return "-"
	}
	out := fmt.Sprintf(f.format+" -> "+f.format, a, b)
	if a > 0 {
		out += fmt.Sprintf(" (%.2f)", b/a)
	}
	return out
}
