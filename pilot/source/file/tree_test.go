package file

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// edits makes random changes of directories, and tells a tree of them as the kernel would.
type edits struct {
	t      *testing.T
	random *rand.Rand
	dirs   []string
	tree   *tree
	now    time.Time
	told   map[place]happening
	sink   map[model.Key]*model.Object // what the tree's events lead to
	log    []string
}

func testTree(dirs []string) *tree {
	return New(dirs, Options{Lean: true, AllowEmpty: true}).tree
}

// settled gives what a tree that has never seen anything else finds in the directories.
func settled(dirs []string) (map[model.Key]*model.Object, []model.Problem) {
	t := testTree(dirs)
	for _, d := range t.dirs {
		t.scan(d, time.Time{}.Add(time.Hour))
	}
	objects := map[model.Key]*model.Object{}
	for _, e := range t.take(time.Time{}.Add(time.Hour)) {
		objects[e.Key] = e.New
	}
	problems, _ := t.index.present()
	return objects, problems
}

func (e *edits) path(at place) string { return filepath.Join(e.dirs[at.dir], at.name) }

func (e *edits) place() place {
	return place{e.random.IntN(len(e.dirs)), string(rune('a'+e.random.IntN(5))) + ".yaml"}
}

// text gives some documents, good ones only where the mesh is to be compared.
func (e *edits) text(good bool) string {
	var b strings.Builder
	for range e.random.IntN(4) {
		name, value := string(rune('a'+e.random.IntN(6))), string(rune('p'+e.random.IntN(3)))
		b.WriteString(strings.Repeat("# a line\n", e.random.IntN(2)))
		switch kind := e.random.IntN(10); {
		case kind < 4:
			b.WriteString(service(name, value))
		case kind < 6:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, annotations: {note: %s}}\nstatus: {podIP: 10.0.0.1, message: %s}\n", name, value, value)
		case kind < 8 || good:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n- {apiVersion: v1, kind: ServiceAccount, metadata: {name: %s}, %s: 1}\n", name, name, value)
		case kind == 8:
			b.WriteString("kind: {\n")
		default:
			b.WriteString(strings.Replace(service(name, value), "port: 80", "port: -1", 1))
		}
		b.WriteString("---\n")
	}
	return b.String()
}

func (e *edits) write(at place, text string) {
	e.log = append(e.log, fmt.Sprintf("write %v: %q", at, text))
	write(e.t, e.path(at), text)
	e.told[at] = completed
}

func (e *edits) edit() {
	at, to := e.place(), e.place()
	switch e.random.IntN(8) {
	default:
		e.write(at, e.text(false))
	case 0:
		e.log = append(e.log, fmt.Sprintf("remove %v", at))
		removeFile(e.t, e.path(at))
		e.told[at] = removed
	case 1:
		if os.Rename(e.path(at), e.path(to)) == nil && at != to {
			e.log = append(e.log, fmt.Sprintf("rename %v to %v", at, to))
			e.told[at], e.told[to] = removed, completed
		}
	case 2:
		if _, err := os.Stat(e.path(at)); err != nil { // a writer that is not done yet
			e.log = append(e.log, fmt.Sprintf("begin %v", at))
			write(e.t, e.path(at), service("a", "half"))
			e.told[at] = created
		}
	}
}

// follow lets the tree know, in one of the ways in which it learns of changes.
func (e *edits) follow() {
	dir := e.tree.dirs[e.random.IntN(len(e.dirs))]
	switch e.random.IntN(10) {
	case 0:
		for _, d := range e.tree.dirs {
			e.tree.scan(d, e.now)
		}
	case 1:
		e.tree.follow(e.told, e.now)
		e.tree.look(dir, true, e.now)
		e.tree.look(dir, true, e.now)
	default:
		e.tree.follow(e.told, e.now)
	}
	e.log = append(e.log, fmt.Sprint("follow ", e.told))
	clear(e.told)
	e.take()
}

func (e *edits) take() {
	for _, event := range e.tree.take(e.now) {
		if event.Old != e.sink[event.Key] {
			e.t.Fatalf("%v: Old is not what was told before\n%s", event.Key, strings.Join(e.log, "\n"))
		}
		if event.New == nil {
			delete(e.sink, event.Key)
		} else {
			e.sink[event.Key] = event.New
		}
	}
}

// compare makes all files good, lets time pass, and compares with a tree that knows no past.
func (e *edits) compare() {
	for dir := range e.dirs {
		for i := range 5 {
			at := place{dir, string(rune('a'+i)) + ".yaml"}
			if _, err := os.Stat(e.path(at)); err == nil && e.random.IntN(3) > 0 {
				e.write(at, "# good\n"+e.text(true))
				continue
			}
			e.log = append(e.log, fmt.Sprintf("remove %v", at))
			removeFile(e.t, e.path(at))
			e.told[at] = removed
		}
	}
	e.follow()
	e.now = e.now.Add(time.Second)
	e.take()
	objects, problems := settled(e.dirs)
	got, _ := e.tree.index.present()
	if !slices.Equal(got, problems) || !maps.EqualFunc(e.sink, objects, sameObject) {
		e.t.Fatalf("objects  %v\nwant     %v\nproblems %v\nwant     %v\n%s", e.sink, objects, got, problems, strings.Join(e.log, "\n"))
	}
	for key := range e.tree.index.keys {
		if e.sink[key] == nil {
			e.t.Fatalf("%v is not forgotten\n%s", key, strings.Join(e.log, "\n"))
		}
	}
}

// TestFollowedEqualsFresh edits directories at random; what was followed step by step equals what
// is found by reading them for the first time.
func TestFollowedEqualsFresh(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir()}
			e := &edits{
				t: t, random: rand.New(rand.NewPCG(seed, 0)), dirs: dirs, tree: testTree(dirs),
				now: time.Unix(1, 0), told: map[place]happening{}, sink: map[model.Key]*model.Object{},
			}
			for range 4 {
				for range 30 {
					e.edit()
					if e.random.IntN(2) == 0 {
						e.follow()
						e.now = e.now.Add(time.Duration(e.random.IntN(300)) * time.Millisecond)
					}
				}
				e.compare()
			}
		})
	}
}

// deployed is a pod as an API server shows it, with a note of a controller.
func deployed(ip, note string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: a}\n  annotations: {example.io/checked: \"" + note + "\", sidecar.istio.io/inject: \"true\"}\n" +
		"  resourceVersion: \"" + note + "\"\n  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: a-1, uid: u, controller: true}]\n" +
		"spec:\n  serviceAccountName: a\n  volumes: [{name: v}]\n  containers:\n  - name: a\n    image: i\n    ports: [{containerPort: 80}]\n" +
		"status:\n  podIP: " + ip + "\n  conditions: [{type: Ready, status: \"True\", message: \"" + note + "\"}]\n" +
		"  containerStatuses: [{name: a, restartCount: 1, image: \"" + note + "\"}]\n"
}

// TestWhatDecidesNothingIsNoChange edits what others note in a pod.
func TestWhatDecidesNothingIsNoChange(t *testing.T) {
	dir := t.TempDir()
	tree, at := testTree([]string{dir}), place{0, "a.yaml"}
	change := func(text string) []model.Event {
		write(t, filepath.Join(dir, "a.yaml"), text)
		tree.follow(map[place]happening{at: completed}, time.Unix(1, 0))
		return tree.take(time.Unix(1, 0))
	}
	if events := change(deployed("10.0.0.1", "1")); len(events) != 1 {
		t.Fatalf("first: %v", events)
	}
	if events := change(deployed("10.0.0.1", "2")); len(events) != 0 {
		t.Errorf("of a note: %v", events)
	}
	if events := change("# above\n---\n" + deployed("10.0.0.1", "3")); len(events) != 1 || events[0].New.Origin.Line != 3 {
		t.Errorf("of lines: %v", events)
	}
	events := change("# above\n---\n" + deployed("10.0.0.2", "3"))
	if len(events) != 1 {
		t.Fatalf("of an address: %v", events)
	}
	problems, _ := tree.index.present()
	if o := events[0].New; len(o.Annotations) != 1 || len(o.Labels) != 1 || len(problems) != 0 {
		t.Errorf("%v, %v", o, problems)
	}
	if events := change(strings.Replace(deployed("10.0.0.2", "3"), "inject: \"true\"", "inject: \"false\"", 1)); len(events) != 1 {
		t.Errorf("of an annotation for the mesh: %v", events)
	}
}

// oneDirectory gives a tree of a new directory, and how its files change: with text "" a file is
// removed.
func oneDirectory(t *testing.T) (dir string, tr *tree, change func(name, text string, what happening) []model.Event) {
	t.Helper()
	dir = t.TempDir()
	tr = testTree([]string{dir})
	return dir, tr, func(name, text string, what happening) []model.Event {
		if text == "" {
			removeFile(t, filepath.Join(dir, name))
		} else {
			write(t, filepath.Join(dir, name), text)
		}
		tr.follow(map[place]happening{{0, name}: what}, time.Unix(1, 0))
		return tr.take(time.Unix(1, 0))
	}
}

func TestNewFileIsNotReadBeforeItsWriterIsDone(t *testing.T) {
	_, _, change := oneDirectory(t)
	if events := change("a.yaml", service("a", "half"), created); len(events) != 0 {
		t.Errorf("while it is written: %v", events)
	}
	if events := change("a.yaml", service("a", "whole"), completed); len(events) != 1 || events[0].New.Labels["v"] != "whole" {
		t.Errorf("afterwards: %v", events)
	}
}

func TestRemovedAndWrittenWithTheSameText(t *testing.T) {
	_, tr, change := oneDirectory(t)
	change("a.yaml", service("a", "one"), completed)
	change("a.yaml", "", removed)
	change("a.yaml", service("a", "one"), completed)
	if events := tr.take(time.Unix(100, 0)); len(events) != 0 {
		t.Errorf("it is there, and so is what it holds: %v", events)
	}
}

// TestWhatIsThereCountsBeforeWhatIsHeld breaks the first of two definitions.
func TestWhatIsThereCountsBeforeWhatIsHeld(t *testing.T) {
	_, _, change := oneDirectory(t)
	change("a.yaml", service("a", "one"), completed)
	change("b.yaml", service("a", "two"), completed)
	if events := change("a.yaml", "kind: {", completed); len(events) != 1 || events[0].New.Labels["v"] != "two" {
		t.Errorf("the first is broken: %v", events)
	}
	if events := change("b.yaml", "", removed); len(events) != 1 || events[0].New.Labels["v"] != "one" {
		t.Errorf("the second is gone: %v", events)
	}
}

// TestLooksReadWhatRests changes a file of which the kernel tells nothing.
func TestLooksReadWhatRests(t *testing.T) {
	dir, tr, _ := oneDirectory(t)
	path := filepath.Join(dir, "a.yaml")
	tr.scan(tr.dirs[0], time.Unix(1, 0))
	look := func() (restless bool, events int) {
		restless = tr.look(tr.dirs[0], true, time.Unix(1, 0))
		return restless, len(tr.take(time.Unix(1, 0)))
	}
	for i, text := range []string{service("a", "one"), service("a", "longer")} {
		write(t, path, text)
		if restless, events := look(); !restless || events != 0 {
			t.Errorf("look %d: restless %v, %d events", i, restless, events)
		}
	}
	if restless, events := look(); restless || events != 1 {
		t.Errorf("when it rested: restless %v, %d events", restless, events)
	}
	if restless, events := look(); restless || events != 0 {
		t.Errorf("after that: restless %v, %d events", restless, events)
	}
}
