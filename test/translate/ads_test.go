package translate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// warmDeadline is how long an Envoy may take from its start until nothing is warming.
const warmDeadline = 30 * time.Second

// A real Envoy takes all that the cases make: nothing is rejected, nothing stays in warming, and
// no listener or cluster waits for a route, an endpoint or a secret that nobody makes.
func TestEnvoyTakesEveryCase(t *testing.T) {
	secrets := envoytest.NewSecrets(t)
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				load(t, Build(r, p).Served(), secrets)
			})
		}
	})
}

// load starts an Envoy with resources and waits until all is in force.
func load(t *testing.T, resources envoytest.Resources, secrets *envoytest.Secrets) {
	t.Helper()
	s := envoytest.ServeFixed(t, resources, secrets)
	e := envoytest.Run(t, envoytest.Config{Node: "test", Socket: s.Socket, SotW: true, Apart: true})
	deadline := time.After(warmDeadline)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	missing := "no answer of its admin port"
	for missing != "" {
		select {
		case reason := <-s.Rejected:
			t.Fatalf("rejected: %s", reason)
		case <-deadline:
			t.Fatalf("after %s: %s", warmDeadline, missing)
		case <-tick.C:
		}
		if state, err := configDump(e); err == nil {
			missing = state.missing(resources)
		}
	}
	if unknown := s.Unknown(); len(unknown) > 0 {
		t.Errorf("it asked for what nobody makes: %s", strings.Join(unknown, ", "))
	}
}

// dump is the part of Envoy's /config_dump that tells what is in force.
type dump struct{ active, waiting []string }

func configDump(e *envoytest.Envoy) (*dump, error) {
	type named struct {
		Name string `json:"name"`
	}
	var body struct {
		Configs []struct {
			ActiveClusters []struct {
				Cluster named `json:"cluster"`
			} `json:"dynamic_active_clusters"`
			WarmingClusters []struct {
				Cluster named `json:"cluster"`
			} `json:"dynamic_warming_clusters"`
			Listeners []struct {
				named
				Active  json.RawMessage `json:"active_state"`
				Warming json.RawMessage `json:"warming_state"`
				Error   json.RawMessage `json:"error_state"`
			} `json:"dynamic_listeners"`
		} `json:"configs"`
	}
	if err := e.Dump("/config_dump", &body); err != nil {
		return nil, err
	}
	out := &dump{}
	for _, c := range body.Configs {
		for _, x := range c.ActiveClusters {
			out.active = append(out.active, "clusters "+x.Cluster.Name)
		}
		for _, x := range c.WarmingClusters {
			out.waiting = append(out.waiting, "cluster "+x.Cluster.Name)
		}
		for _, l := range c.Listeners {
			if l.Active != nil {
				out.active = append(out.active, "listeners "+l.Name)
			}
			if l.Warming != nil || l.Error != nil {
				out.waiting = append(out.waiting, "listener "+l.Name)
			}
		}
	}
	return out, nil
}

// missing says what is not in force yet; empty when all is.
func (d *dump) missing(resources envoytest.Resources) string {
	if len(d.waiting) > 0 {
		return "warming: " + strings.Join(d.waiting, ", ")
	}
	for _, kind := range []string{"clusters", "listeners"} {
		for name := range resources[kind] {
			if !slices.Contains(d.active, kind+" "+name) {
				return "not there: " + kind + " " + name
			}
		}
	}
	return ""
}
