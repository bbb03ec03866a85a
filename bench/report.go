package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Series is what was measured on one mesh.
type Series struct {
	Options Options   `json:"options"`
	Results []*Result `json:"results"`
	// Errors are of scenarios that did not come to an end.
	Errors []string `json:"errors,omitempty"`
}

// Result gives a scenario's result, or nil.
func (s *Series) Result(name string) *Result {
	for _, r := range s.Results {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Machine is where it was measured.
type Machine struct {
	CPUs   int    `json:"cpus"`
	CPU    string `json:"cpu"`
	Memory int64  `json:"memory"`
	OS     string `json:"os"`
	Go     string `json:"go"`
}

// Report is everything.
type Report struct {
	Date    time.Time `json:"date"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	Series  []*Series `json:"series"`
}

// ThisMachine describes the machine.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.CPU = procValue("/proc/cpuinfo", "model name")
	var kb int64
	if _, err := fmt.Sscanf(procValue("/proc/meminfo", "MemTotal"), "%d", &kb); err == nil {
		m.Memory = kb << 10
	}
	return m
}

func procValue(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// JSON gives the report for machines.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	return append(b, '\n'), err
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s, %d CPUs (%s), %.0f GB\n", r.Date.Format(time.DateOnly), r.Version, r.Machine.CPUs,
		r.Machine.CPU, float64(r.Machine.Memory)/(1<<30))
	for _, s := range r.Series {
		m := s.Options.Mesh
		fmt.Fprintf(w, "\n%s: %d services x %d endpoints in %d namespaces, %d VirtualServices, %d DestinationRules\n",
			s.Options.Name, m.Services, m.Endpoints, m.Namespaces, m.VirtualServices, m.DestinationRules)
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "scenario\tclients\tchanges\tto\tlast p50\tp99 ms\tinside\tCPU s\tF\tratio\tdown/client\tup\tMallocs\tMB\tpeak MiB\tKB/client\t")
		for _, x := range s.Results {
			row(t, x.Name, x)
			if x.Against != nil {
				row(t, "without", x.Against)
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
			if x.Missing > 0 {
				fmt.Fprintf(w, "  %s: %d acknowledgements did not come before the next change or the deadline\n", x.Name, x.Missing)
			}
		}
	}
	return nil
}

func row(w io.Writer, name string, x *Result) {
	var last Quantiles
	if x.Last != nil {
		last = *x.Last
	}
	peak := max(x.PeakRSS, x.PeakCgroup) / (1 << 20)
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\t%s\t%.2f\t%.0f\t%.0f\t%s\t\n", name,
		number(float64(x.Clients), "%.0f"), number(float64(x.Changes), "%.0f"), number(float64(x.Concerned), "%.0f"),
		number(last.P50, "%.1f"), number(last.P99, "%.1f"), number(x.Inside, "%.1f"), x.ServerCPU,
		number(x.FloorCPU, "%.3f"), number(x.Ratio(), "%.1f"), number(x.Down, "%.0f"), number(x.Up, "%.0f"),
		x.Allocs/1e6, x.AllocBytes/1e6, peak, number(x.PerClient/1000, "%.0f"))
}

// number leaves out what was not measured.
func number(v float64, format string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
