package locks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// folders have the code that is looked at.
var folders = []string{"pilot", "security", "agent", "localnode", "iptables", "ctl", "cgroup"}

// written are chains of the order that the comment of pilot/push has.
var written = [][]lock{
	{"pilot/source/kube.Source.mu", "pilot/source/selected.Choice.mu", "pilot/machine.Registry.mu", "pilot/store.Store.mu"},
	{"pilot/xds.share.places", "pilot/xds.admission.places", "pilot/push.Engine.state"},
	{"pilot/xds.Server.mu", "pilot/push.Engine.mu"},
	{"pilot/push.Engine.state", "pilot/push.Engine.mu", "pilot/push.classState.build", "pilot/build.layer.once", "pilot/build.Builder.mu", "pilot/build.index.mu"},
	{"pilot/push.Engine.mu", "pilot/xds.stream.mu", "pilot/xds.shares.mu"},
	{"pilot/xds.stream.mu", "pilot/trace.Change.mu"},
	{"pilot/build.layer.once", "pilot/resource.Weak.mu", "pilot/resource.Set.mu", "pilot/resource.rope.mu"},
	{"pilot/push.Engine.mu", "pilot/status.Board.mu"},
}

// nested are locks of which one may be taken while another of the same field is held, and why that is no circle.
var nested = map[lock]string{
	"pilot/resource.Set.mu":  "a set, then the one that it lies over, which was made before it",
	"pilot/build.layer.once": "a layer, then the one below",
}

// patient are locks that are held while something is waited for, and what bounds it.
var patient = map[lock]string{
	"pilot/push.Engine.state":      "layers are computed on all processors; these take no lock that comes before",
	"pilot/xds.lockedWire.mu":      "two goroutines write one stream, whose end frees both; nobody else takes it",
	"pilot/incluster.access.mu":    "one question for all who ask it, of accessWait at most",
	"agent/tap.Tap.setting":        "the last word has to be true; Envoy's admin interface has adminTimeout",
	"security/auth.keyFile.mu":     "one small file that the operator names, read by one caller for all",
	"localnode.objectFiles.mu":     "one file at a time on the machine's own disk",
	"localnode/runtime.archive.mu": "one import for all who wait for the image, of importTimeout at most",
}

func analyzed(t *testing.T) *analysis {
	t.Helper()
	var patterns []string
	for _, f := range folders {
		patterns = append(patterns, module+f+"/...")
	}
	return analyze(load(t, func(path string) bool {
		short, ours := strings.CutPrefix(path, module)
		folder, _, _ := strings.Cut(short, "/")
		return ours && slices.Contains(folders, folder)
	}, patterns...))
}

// A lock is never taken under one that another way takes under it, nor twice, and nothing is waited for under one.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	steps := analyzed(t).steps()
	after := check(steps, nested, patient, func(text string) { t.Error(text) })
	for _, chain := range written {
		for i, l := range chain[1:] {
			if !after[chain[i]][l] {
				t.Errorf("%s is never taken while %s is held: the order that is written down is of former code", l, chain[i])
			}
		}
	}
	if testing.Verbose() {
		for _, l := range slices.Sorted(maps.Keys(after)) {
			t.Log(l, "before", slices.Sorted(maps.Keys(after[l])))
		}
	}
}

// check tells what is wrong with steps, and gives for each lock those that are taken under it.
func check(steps map[step]string, nested, patient map[lock]string, report func(string)) map[lock]set {
	after := map[lock]set{}
	for s, way := range steps {
		switch {
		case s.waits != "":
			if patient[s.held] == "" {
				report(fmt.Sprintf("%s is held while there is a wait: %s\n   in %s", s.held, s.waits, way))
			}
		case s.takes == s.held:
			if nested[s.held] == "" {
				report(fmt.Sprintf("%s is taken while one of the kind is held\n   in %s", s.held, way))
			}
		default:
			if after[s.held] == nil {
				after[s.held] = set{}
			}
			after[s.held][s.takes] = true
		}
	}
	for _, group := range circles(after) {
		text := fmt.Sprintf("these locks are taken under each other: %v", group)
		for _, held := range group {
			for _, takes := range group {
				if way := steps[step{held, effect{takes: takes}}]; way != "" && takes != held {
					text += fmt.Sprintf("\n   %s, then %s\n   in %s", held, takes, way)
				}
			}
		}
		report(text)
	}
	return after
}

// The faults of testdata/faulty are found, each by what is told of it, and nothing else.
func TestFaultsAreFound(t *testing.T) {
	const path = module + "test/locks/testdata/faulty"
	steps := analyze(load(t, func(p string) bool { return p == path }, path)).steps()
	var got []string
	check(steps, nil, nil, func(text string) { got = append(got, strings.ReplaceAll(text, "test/locks/testdata/", "")) })
	slices.Sort(got)
	want := []string{
		"faulty.sender.mu is held while there is a wait: a channel takes a value",
		"faulty.sleeper.mu is held while there is a wait: (*sync.WaitGroup).Wait",
		"faulty.twice.mu is taken while one of the kind is held",
		"these locks are taken under each other: [faulty.engine.mu faulty.stream.mu]",
		"these locks are taken under each other: [faulty.first.once faulty.second.mu]",
	}
	if len(got) != len(want) {
		t.Fatalf("found %d faults, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("found\n%s\nwant %s", got[i], want[i])
		}
	}
}
