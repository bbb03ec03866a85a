package traffic

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// result is what came of a call, from either side; what that side cannot know is nil.
type result struct {
	status    int
	flags     *string
	closed    bool
	clusters  map[string]float64 // shares in percent
	endpoints []string           // that may be, or were, asked
	servers   map[string]float64 // shares of them in percent
	sampled   bool               // clusters and endpoints are some of those that may be asked
	tls       *string
	sni       *string
	presented *string
	protocol  *string
	path      *string
	host      *string
	request   func(name string) *string
	response  func(name string) *string
	location  *string
	body      *string
	timeout   *string
	attempts  *int
	mirrors   []string
	mirrored  *string
	delay     *string
	proxy     *string
	tunnel    *string
}

// differ lists how a result is not what is wanted.
func (c *Call) differ(r *result) []string {
	var out []string
	say := func(what string, got, want any) { out = append(out, fmt.Sprintf("%s: %v, want %v", what, got, want)) }
	w := &c.Want
	if r.closed != w.Closed {
		say("closed", r.closed, w.Closed)
	}
	if status := c.status(w); r.status != status {
		say("status", r.status, status)
	}
	for _, f := range []struct {
		name      string
		got, want *string
	}{
		{"flags", r.flags, w.Flags},
		{"tls", r.tls, w.TLS},
		{"sni", r.sni, w.SNI},
		{"presented", r.presented, w.Presented},
		{"protocol", r.protocol, w.Protocol},
		{"path", r.path, w.Path},
		{"host", r.host, w.Host},
		{"location", r.location, w.Location},
		{"body", r.body, w.Body},
		{"timeout", r.timeout, w.Timeout},
		{"delay", r.delay, w.Delay},
		{"mirrored", r.mirrored, w.Mirrored},
		{"proxy", r.proxy, w.Proxy},
		{"tunnel", r.tunnel, w.Tunnel},
	} {
		if f.got != nil && f.want != nil && *f.got != *f.want {
			say(f.name, *f.got, *f.want)
		}
	}
	if w.Attempts != nil && r.attempts != nil && *w.Attempts != *r.attempts {
		say("attempts", *r.attempts, *w.Attempts)
	}
	out = append(out, w.differHeaders("request", r.request, w.Request)...)
	out = append(out, w.differHeaders("response", r.response, w.Response)...)
	return append(out, w.differPlaces(r)...)
}

// status is what the client is to see, 0 for none.
func (c *Call) status(w *Want) int {
	switch {
	case w.Status != nil:
		return *w.Status
	case w.Closed || c.request.Protocol == explain.TCP:
		return 0
	case c.scheme == "ws":
		return http.StatusSwitchingProtocols
	}
	return http.StatusOK
}

func (w *Want) differHeaders(what string, got func(string) *string, want map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got == nil {
			out = append(out, what+" headers: none")
		} else if v := got(name); v != nil && *v != want[name] {
			out = append(out, fmt.Sprintf("%s header %s: %q, want %q", what, name, *v, want[name]))
		}
	}
	return out
}

// shares gives the clusters that are wanted, by their full names.
func (w *Want) shares() map[string]float64 {
	out := map[string]float64{}
	for name, share := range w.Clusters {
		out[cluster(name)] = share
	}
	if w.Cluster != "" {
		out[cluster(w.Cluster)] = 100
	}
	return out
}

// differPlaces compares where a call went.
func (w *Want) differPlaces(r *result) []string {
	var out []string
	if want := w.shares(); len(want) > 0 {
		same := len(r.clusters) == len(want)
		for name, share := range want {
			got, ok := r.clusters[name]
			same = same && ok && (r.sampled || math.Abs(got-share) < 0.01)
		}
		if !same {
			out = append(out, fmt.Sprintf("clusters: %v, want %v", r.clusters, want))
		}
	}
	if w.Endpoints != nil {
		want := slices.Sorted(slices.Values(w.Endpoints))
		strange := slices.ContainsFunc(r.endpoints, func(e string) bool { return !slices.Contains(want, e) })
		if strange || len(r.endpoints) == 0 || !r.sampled && !slices.Equal(slices.Sorted(slices.Values(r.endpoints)), want) {
			out = append(out, fmt.Sprintf("endpoints: %v, want %v", r.endpoints, want))
		}
	}
	for address, share := range w.Servers {
		if r.servers != nil && math.Abs(r.servers[address]-share) > 2 {
			out = append(out, fmt.Sprintf("servers: %v, want %v", r.servers, w.Servers))
			break
		}
	}
	for _, m := range w.Mirrors {
		if !slices.Contains(r.mirrors, cluster(m)) {
			out = append(out, fmt.Sprintf("mirrors: %v, want %s", r.mirrors, cluster(m)))
		}
	}
	return out
}

// commas joins flags as a case has them.
func commas(flags string) *string {
	flags = strings.TrimPrefix(flags, "-")
	return &flags
}

// differProblems compares the problems that were reported with those that are expected. Errors that nobody
// expects are told, warnings are not.
func (c *Case) differProblems() []string {
	var out []string
	for _, p := range c.problems {
		named := slices.ContainsFunc(c.Problems, func(want string) bool { return strings.Contains(p.String(), want) })
		if text := "unexpected problem: " + p.String(); p.Severity == model.SeverityError && !named && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	for _, want := range c.Problems {
		if !slices.ContainsFunc(c.problems, func(p model.Problem) bool { return strings.Contains(p.String(), want) }) {
			out = append(out, fmt.Sprintf("no problem says %q", want))
		}
	}
	return out
}
