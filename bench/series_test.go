package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

func TestEachNameStandsForSeriesThatCanBeMade(t *testing.T) {
	for name, want := range map[string]int{"unscoped": 1, "sizes": 2 * len(sizes), "short": 4, "size-3000-scoped": 1, "nothing": 0} {
		if got := len(Series(name)); got != want {
			t.Errorf("%s: %d series, want %d", name, got, want)
		}
	}
	for _, name := range SeriesNames() {
		for _, o := range Series(name) {
			m, err := mesh.New(o.Mesh, t.TempDir())
			if err != nil {
				t.Errorf("%s: %v", o.Name, err)
				continue
			}
			r := &runner{Options: o, mesh: m}
			for _, s := range o.Scenarios {
				if !slices.Contains(Scenarios(), s) || !o.runs(s) {
					t.Errorf("%s: %q is not run", o.Name, s)
				}
			}
			if w := r.workload(0); w.Router != o.gateways() {
				t.Errorf("%s: client 0 is %+v", o.Name, w)
			}
		}
	}
}

func TestTheSameClientsAtEachSize(t *testing.T) {
	var clients [][]ads.Node
	for _, o := range Sizes() {
		m, err := mesh.New(o.Mesh, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		list, err := (&runner{Options: o, mesh: m}).nodes(o.Clients)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, list)
	}
	for i := range len(sizes) {
		for _, of := range []int{0, len(sizes)} {
			if got, want := clients[of+i], clients[of]; got[7].Namespace != want[7].Namespace || len(got) != len(want) {
				t.Errorf("%d clients, one in %s; want %d, %s", len(got), got[7].Namespace, len(want), want[7].Namespace)
			}
		}
	}
}

func TestCostBySizeIsComparedWithTheSmallest(t *testing.T) {
	r := &Report{}
	at := func(n int, scoped bool, cpu float64) {
		r.Add(&Measured{Options: Options{Name: sizeSeries(n, scoped)}, Results: []*Result{
			{Name: scenarioEndpoint, ServerCPU: cpu, Changes: 10}, {Name: scenarioService, ServerCPU: cpu, Changes: 10},
		}})
	}
	at(1000, true, .1)
	at(10000, true, .3)
	at(10000, false, .3)
	got := map[string]string{}
	for _, g := range r.Goals {
		what, figure, _ := strings.Cut(g.What, ": ")
		if !strings.HasPrefix(figure, cpuTime) {
			continue
		}
		got[g.Series+", "+what] = g.Verdict()
	}
	for what, want := range map[string]string{
		"size-10000-scoped, one endpoint":          "NOT met: 2.50 x the goal",
		"size-10000-scoped, service added":         "NOT met: 2.50 x the goal",
		"size-10000-scoped, route, one namespace":  "not measured",
		"size-10000-unscoped, one endpoint":        "not measured",
		"size-10000-unscoped, service added":       "",
		"size-10000-unscoped, rule, one namespace": "not measured",
	} {
		if got[what] != want {
			t.Errorf("%s: %q, want %q", what, got[what], want)
		}
	}
	svg := string(r.plots()["cost-by-size.svg"])
	for _, want := range []string{"one endpoint, scoped", "service added, unscoped", ">10.0<", ">30.0<", "3000 services"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the plot does not show %q", want)
		}
	}
}

// someRunner has ten clients in two gateways' namespaces.
func someRunner() *runner {
	r := &runner{population: map[string]int{"gateway-0": 4, "gateway-1": 6}}
	r.Clients = 10
	return r
}

func TestWhatOthersGetIsStray(t *testing.T) {
	if got := astray([]int64{1, 2, 3}, []int64{10, 4, 8}, func(client int) bool { return client == 0 }); got != 7 {
		t.Errorf("%d messages, want 7", got)
	}
}

func TestWhatIsSentBesideAProofIsCounted(t *testing.T) {
	proof := ads.Frame{Kind: ads.Endpoints, Names: []string{"outbound|80||a"}, Bytes: make([]byte, 50)}
	for name, c := range map[string]struct {
		frames   []ads.Frame // of gateway-0; gateway-1 gets the proof
		messages int64
		others   int64
		due      float64
	}{
		"a subset too":  {[]ads.Frame{{Kind: ads.Endpoints, Names: []string{"outbound|80|v2|a", "outbound|80||a"}, Bytes: proof.Bytes}}, 10, 0, 50},
		"nothing else":  {[]ads.Frame{proof}, 10, 0, 50},
		"a cluster too": {[]ads.Frame{{Kind: ads.Clusters, Names: []string{"outbound|80||a"}}, proof}, 14, 4, 50},
		"more with it":  {[]ads.Frame{{Kind: ads.Endpoints, Names: []string{"outbound|80||a", "outbound|80||b"}}}, 10, 4, 30},
		"unseen ones":   {[]ads.Frame{proof}, 11, 1, 50},
	} {
		due, others := someRunner().proof(map[string][]ads.Frame{"gateway-0": c.frames, "gateway-1": {proof}}, []string{"outbound|80||a"}, c.messages)
		if due != c.due || others != c.others {
			t.Errorf("%s: %g bytes, %d others, want %g, %d", name, due, others, c.due, c.others)
		}
	}
}
