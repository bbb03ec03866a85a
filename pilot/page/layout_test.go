package page

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
)

// calls gives edges of "a>b" pairs of workloads.
func calls(pairs ...string) []traffic.Edge {
	var out []traffic.Edge
	for _, p := range pairs {
		from, to, _ := strings.Cut(p, ">")
		out = append(out, traffic.Edge{From: traffic.Workload{Namespace: "ns", Name: from}, To: traffic.Workload{Namespace: "ns", Name: to}, Protocol: "http", Requests: 1, P50: -1, P95: -1})
	}
	return out
}

func TestCalledStandsToTheRight(t *testing.T) {
	d := draw(calls("in>a", "a>b", "a>c", "b>d", "c>d", "in>d"))
	x := map[string]int{}
	for _, n := range d.Nodes {
		x[n.Name] = n.X
		if n.X+nodeWidth > d.Width || n.Y+nodeHeight > d.Height {
			t.Errorf("%s is outside of the drawing", n.Name)
		}
	}
	if !(x["in"] < x["a"] && x["a"] < x["b"] && x["b"] == x["c"] && x["c"] < x["d"]) {
		t.Errorf("columns %v", x)
	}
}

func TestCirclesAreDrawn(t *testing.T) {
	for _, edges := range [][]string{{"a>a"}, {"a>b", "b>a"}, {"x>a", "a>b", "b>c", "c>a"}, {"a>b", "b>c", "c>b", "c>d", "d>a"}} {
		d := draw(calls(edges...))
		at := map[[2]int]bool{}
		for _, n := range d.Nodes {
			at[[2]int{n.X, n.Y}] = true
		}
		if len(d.Lines) != len(edges) || len(at) != len(d.Nodes) {
			t.Errorf("%v: %d lines, %d nodes at %d places", edges, len(d.Lines), len(d.Nodes), len(at))
		}
	}
	if d := draw(nil); len(d.Nodes) != 0 || d.Width != 0 {
		t.Errorf("nothing is drawn as %+v", d)
	}
}

func TestTheBusiestAreDrawn(t *testing.T) {
	var edges []traffic.Edge
	for i := range 2 * maxNodes {
		one := calls("in>w" + strconv.Itoa(i))[0]
		one.Requests = float64(i)
		edges = append(edges, one)
	}
	d := draw(edges)
	if len(d.Nodes) != maxNodes || d.Left != maxNodes+1 {
		t.Fatalf("%d nodes, %d edges left", len(d.Nodes), d.Left)
	}
	for _, n := range d.Nodes {
		if n.Name == "w0" {
			t.Error("the quietest is drawn")
		}
	}
}
