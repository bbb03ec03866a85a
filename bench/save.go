package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/plot"
)

// goals for a scenario; zero for none. They are the project's P1 to P8.
type goal struct{ last, ratio float64 }

func goals() map[string]goal {
	return map[string]goal{
		scenarioCold: {ratio: 1.5}, scenarioEndpoint: {last: 50, ratio: 1.5}, scenarioChurn: {last: 250, ratio: 1.5},
		scenarioRouteOne: {last: 50}, scenarioRuleOne: {last: 50}, scenarioRouteAll: {ratio: 1.5}, scenarioRuleAll: {ratio: 1.5},
		scenarioRollout: {ratio: 1.5}, scenarioRestart: {last: 5000},
	}
}

// Save writes latest.json and the plots into a directory.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := r.JSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "latest.json"), b, 0o644); err != nil {
		return err
	}
	for _, s := range r.Series {
		for name, chart := range r.charts(s) {
			if len(chart.Bars) == 0 {
				continue
			}
			path := filepath.Join(dir, s.Options.Name+"-"+name+".svg")
			if err := os.WriteFile(path, chart.SVG(), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Report) charts(s *Series) map[string]*plot.Chart {
	about := fmt.Sprintf("%d services x %d endpoints, %s; %d CPUs, %s; %s", s.Options.Mesh.Services, s.Options.Mesh.Endpoints,
		s.Options.Name, r.Machine.CPUs, r.Machine.CPU, r.Date.Format(time.DateOnly))
	latency := &plot.Chart{Title: "From a change to the last client's ACK, p99", Subtitle: about, Unit: "ms", Log: true}
	cpu := &plot.Chart{Title: "Server's CPU time, as a multiple of the floor's", Subtitle: about, Unit: "x", Log: true}
	memory := &plot.Chart{Title: "Peak memory of the server", Subtitle: about, Unit: "MiB"}
	want := goals()
	for _, x := range s.Results {
		label := fmt.Sprintf("%s (%d)", x.Name, x.Clients)
		if x.Last != nil {
			latency.Bars = append(latency.Bars, plot.Bar{Label: label, Value: x.Last.P99, Goal: want[x.Name].last})
		}
		if x.Ratio() > 0 {
			cpu.Bars = append(cpu.Bars, plot.Bar{Label: label, Value: x.Ratio(), Goal: want[x.Name].ratio})
		}
		if peak := max(x.PeakRSS, x.PeakCgroup); peak > 0 {
			memory.Bars = append(memory.Bars, plot.Bar{Label: label, Value: peak / (1 << 20)})
		}
	}
	return map[string]*plot.Chart{"latency": latency, "cpu": cpu, "memory": memory}
}

// Bounds are the most that a scenario may take; what is zero is not checked. None of them is a
// time on the wall, since that says more of the machine than of the program.
type Bounds struct {
	Allocs   float64 `json:"allocs,omitempty"`
	Down     float64 `json:"downBytes,omitempty"`
	Up       float64 `json:"upBytes,omitempty"`
	Messages int64   `json:"messages,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	// Silent scenarios send nothing.
	Silent bool `json:"silent,omitempty"`
}

// Check compares the report to the bounds in a file: by series, then by scenario. All that is
// beyond them, or was not measured, is one error.
func (r *Report) Check(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all map[string]map[string]Bounds
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, s := range r.Series {
		for name, bounds := range all[s.Options.Name] {
			x := s.Result(name)
			if x == nil {
				errs = append(errs, fmt.Errorf("%s, %s: was not measured", s.Options.Name, name))
				continue
			}
			for _, err := range bounds.exceeded(x) {
				errs = append(errs, fmt.Errorf("%s, %s: %w", s.Options.Name, name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (b *Bounds) exceeded(x *Result) []error {
	var errs []error
	check := func(what string, got, most float64) {
		if most > 0 && got > most {
			errs = append(errs, fmt.Errorf("%s %.4g, more than %.4g", what, got, most))
		}
	}
	check("allocations", x.Allocs, b.Allocs)
	check("bytes down for each client", x.Down, b.Down)
	check("bytes up for each client", x.Up, b.Up)
	check("messages", float64(x.Messages), float64(b.Messages))
	check("CPU time to the floor's", x.Ratio(), b.Ratio)
	if b.Silent && x.Messages > 0 {
		errs = append(errs, fmt.Errorf("%d messages where none is due", x.Messages))
	}
	return errs
}
