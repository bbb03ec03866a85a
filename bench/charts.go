package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/plot"
)

// plots draws each series, and the memory of all, as SVG by file name.
func (r *Report) plots() map[string][]byte {
	out := map[string][]byte{}
	add := func(name string, c *plot.Chart) {
		if len(c.Groups) > 0 {
			out[name+".svg"] = c.SVG()
		}
	}
	for _, s := range r.Series {
		if strings.HasPrefix(s.Options.Name, "size-") {
			continue // they are in charts together
		}
		add(s.Options.Name+"-latency", r.latency(s))
		add(s.Options.Name+"-cpu", r.cpu(s))
	}
	add("memory", r.memory())
	add("cost-by-size", r.bySize("The same change in meshes of several sizes: CPU time of the server", "milliseconds a change", costBySize))
	add("latency-by-size", r.bySize("The same change in meshes of several sizes: to the last client's ACK, p50", "milliseconds", latencyBySize))
	return out
}

// about tells machine, mesh and date under a chart's title.
func (r *Report) about(s *Measured) string {
	return fmt.Sprintf("%s; %s; %s", s.about(), r.Machine, s.Date.Format(time.DateOnly))
}

// bar draws a figure of a scenario beside its goal, if it has one.
func bar(s *Measured, x *Result, v float64, what string) plot.Bar {
	out := plot.Bar{Value: v}
	for _, a := range aims() {
		if a.series == s.Options.Name && a.scenario == x.Name && a.what == what {
			out.Goal = a.most
		}
	}
	return out
}

func (r *Report) latency(s *Measured) *plot.Chart {
	c := &plot.Chart{
		Title: "From a change to the last client's ACK", Subtitle: r.about(s), Axis: "milliseconds, logarithmic", Log: true,
		Names: []string{"p50", "p99"},
	}
	for _, x := range s.Results {
		if x.Last == nil || x.Changes == 0 {
			continue
		}
		c.Groups = append(c.Groups, plot.Group{
			Label: label(x), Bars: []plot.Bar{bar(s, x, x.Last.P50, lastP50), bar(s, x, x.Last.P99, lastP99)},
		})
	}
	return c
}

func (r *Report) cpu(s *Measured) *plot.Chart {
	c := &plot.Chart{
		Title: "CPU time of the server, to that of a server that only sends the same bytes (F)", Subtitle: r.about(s),
		Axis: "multiple of F, logarithmic", Log: true, Names: []string{"server / F"},
	}
	for _, x := range s.Results {
		if x.Ratio() > 0 {
			c.Groups = append(c.Groups, plot.Group{Label: label(x), Bars: []plot.Bar{bar(s, x, x.Ratio(), cpuTime)}})
		}
	}
	return c
}

func (r *Report) memory() *plot.Chart {
	c := &plot.Chart{
		Title: "Memory of the server for each connected client, after a cold start of all", Subtitle: r.Machine.String(),
		Axis: "KB for each client", Names: []string{"live heap and stacks", "peak of the cgroup"},
	}
	for _, s := range r.Series {
		x := s.Result(scenarioCold)
		if x == nil || x.PerClient == 0 {
			continue
		}
		c.Groups = append(c.Groups, plot.Group{
			Label: fmt.Sprintf("%s (%d)", s.Options.Name, x.Clients),
			Bars:  []plot.Bar{bar(s, x, x.PerClient/1000, liveMemory), bar(s, x, x.PeakPerClient/1000, peakMemory)},
		})
	}
	return c
}

// label names a scenario with the number of clients that a change has to reach.
func label(x *Result) string {
	n := x.Concerned
	if n == 0 {
		n = x.Clients
	}
	return fmt.Sprintf("%s (%d)", x.Name, n)
}
