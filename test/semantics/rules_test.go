package semantics

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

var (
	seeds     = flag.Int("seeds", 150, "how many random meshes are asked")
	firstSeed = flag.Int("seed", 0, "the seed of the first; with -seeds 1 to see one again")
)

// callsOfClient is how often each client of a mesh of rules asks.
const callsOfClient = 60

// Explain says of random VirtualServices, Gateways and Sidecars what the slow model says.
func TestRules(t *testing.T) {
	ends := map[string]int{}
	for i := range *seeds {
		askMesh(t, uint64(*firstSeed+i), ends)
	}
	t.Log("calls by their end: ", ends)
	for _, end := range []string{"rule", "service", "passed on", "unknown", "answer", "closed"} {
		if *seeds > 100 && ends[end] == 0 {
			t.Errorf("no call ends as %s, of which nothing is proved then", end)
		}
	}
}

// askMesh makes a mesh and asks it for every client, and counts how calls end.
func askMesh(t *testing.T, seed uint64, ends map[string]int) {
	m, r := newMesh(seed)
	snapshot := translate.Snapshot(m.objects(t))
	caller := &maker{Rand: r, mesh: m}
	for _, c := range clients() {
		config := c.translated(snapshot)
		for range callsOfClient {
			q := caller.call(c)
			want, answer := m.means(c, q), config.Explain(*q)
			ends[endOf(want)]++
			if got := told(&answer.Outcome); got != want {
				var steps strings.Builder
				_ = answer.Print(&steps)
				t.Fatalf("seed %d: %s: %s, want %s\n%s\n%s", seed, printed(c, q), got, want, m.text(), &steps)
			}
		}
	}
}

// printed gives a call for people.
func printed(c *client, q *explain.Request) string {
	out := fmt.Sprintf("%s asks %s for %s %s%s %v %v", c.proxy, q.Destination, q.Method, q.Host, q.Path, q.Header, q.Claims)
	if q.TLS != nil {
		out += " in TLS for " + q.TLS.SNI
	}
	return out
}

// endOf sorts what becomes of calls: what a rule forwards names a subset, as nothing else does.
func endOf(want string) string {
	switch {
	case strings.HasPrefix(want, "outbound_."):
		return "passed on"
	case strings.Contains(want, "||"):
		return "service"
	case strings.Contains(want, "|"):
		return "rule"
	case want == passthrough:
		return "unknown"
	case want == "closed":
		return "closed"
	}
	return "answer"
}
