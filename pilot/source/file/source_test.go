package file

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a sink that remembers what it was told.
type recorder struct {
	source   *Source // shows what it has told
	mu       sync.Mutex
	objects  map[model.Key]*model.Object
	deleted  []model.Key
	problems []model.Problem
	synced   bool
	changed  chan struct{}
}

func (r *recorder) update(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) Apply(_ string, events []model.Event, problems []model.Problem) {
	r.update(func() {
		r.problems = problems
		for _, e := range events {
			if e.Old != r.objects[e.Key] {
				panic(fmt.Sprintf("%v: Old is not what was told before", e.Key))
			}
			if e.New == nil {
				delete(r.objects, e.Key)
				r.deleted = append(r.deleted, e.Key)
			} else {
				r.objects[e.Key] = e.New
			}
		}
		shown := map[model.Key]*model.Object{}
		r.source.Each(func(o *model.Object) { shown[o.Key] = o })
		if !maps.Equal(shown, r.objects) {
			panic(fmt.Sprintf("the source shows %v, and has told %v", shown, r.objects))
		}
	})
}

func (r *recorder) Synced(string) { r.update(func() { r.synced = true }) }

// eventually waits for a state of the sink.
func (r *recorder) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		ok, changed := holds(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never: %s; objects %v, problems %v", what, r.objects, r.problems)
		}
	}
}

// value gives the label v of a Service, "" where the service is absent.
func (r *recorder) value(name string) string {
	o := r.objects[key(name)]
	if o == nil {
		return ""
	}
	return o.Spec.(*corev1.Service).Labels["v"]
}

func key(name string) model.Key {
	return model.Key{Kind: model.KindService, Namespace: "default", Name: name}
}

func (r *recorder) hasProblem(text string) bool {
	return slices.ContainsFunc(r.problems, func(p model.Problem) bool { return strings.Contains(p.String(), text) })
}

// start runs a source over directories until the test ends.
func start(t *testing.T, dirs ...string) *recorder {
	t.Helper()
	return startWith(t, Options{Quiet: 10 * time.Millisecond, Settle: 100 * time.Millisecond, Poll: 50 * time.Millisecond}, dirs...)
}

func startWith(t *testing.T, opts Options, dirs ...string) *recorder {
	t.Helper()
	r := &recorder{objects: map[model.Key]*model.Object{}, changed: make(chan struct{})}
	s := New(dirs, opts)
	r.source = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.eventually(t, "synced", func() bool { return r.synced })
	return r
}

// TestTheSinkMayAskAgain: it is told of problems where nothing has changed.
func TestTheSinkMayAskAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), service("a", "one"))
	r := start(t, dir)
	r.update(func() { r.problems = []model.Problem{{Message: "former"}} })
	r.source.Again()
	r.eventually(t, "a call", func() bool { return len(r.problems) == 0 })
}

func service(name, value string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", labels: {v: " + value + "}}\nspec: {ports: [{name: http, port: 80}]}\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace puts a file in place the way editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	temp := filepath.Join(filepath.Dir(path), ".tmp.yaml~")
	write(t, temp, text)
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestEditsAreFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	write(t, filepath.Join(dir, "notes.txt"), "no YAML")
	write(t, filepath.Join(dir, ".a.yaml.swp.yaml"), service("hidden", "x"))
	r := start(t, dir)
	if r.value("a") != "one" || len(r.objects) != 1 {
		t.Fatalf("at the start: %v", r.objects)
	}
	write(t, path, service("a", "two"))
	r.eventually(t, "written in place", func() bool { return r.value("a") == "two" })
	replace(t, path, service("a", "three"))
	r.eventually(t, "replaced by rename", func() bool { return r.value("a") == "three" })
	write(t, filepath.Join(dir, "b.json"), `{"apiVersion":"v1","kind":"Service","metadata":{"name":"b","labels":{"v":"x"}}}`)
	r.eventually(t, "a new file", func() bool { return r.value("b") == "x" })
	removeFile(t, path)
	r.eventually(t, "deleted", func() bool { return r.objects[key("a")] == nil })
	if len(r.problems) != 0 {
		t.Errorf("problems: %v", r.problems)
	}
}

// TestFileRenamedIntoPlaceIsReadAtOnce has a quiet time that the test does not live to see: only a
// file that is complete when it appears is read without it.
func TestFileRenamedIntoPlaceIsReadAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	r := startWith(t, Options{Quiet: time.Hour, Poll: time.Hour}, dir)
	for _, value := range []string{"two", "three"} {
		replace(t, path, service("a", value))
		r.eventually(t, "renamed into place: "+value, func() bool { return r.value("a") == value })
	}
}

func TestDeletedAndWrittenAgainIsNoDeletion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	r := start(t, dir)
	removeFile(t, path)
	write(t, path, service("a", "two"))
	r.eventually(t, "written again", func() bool { return r.value("a") == "two" })
	if err := os.Rename(path, filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "moved", func() bool { return strings.HasSuffix(r.objects[key("a")].Origin.File, "b.yaml") })
	if len(r.deleted) != 0 {
		t.Errorf("deleted in between: %v", r.deleted)
	}
}

func TestBrokenAndEmptyFilesKeepWhatTheyHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one")+"---\n"+service("b", "one"))
	r := start(t, dir)
	for _, text := range []string{"", "kind: {", service("a", "one") + "---\napiVersion: v1\nkind: Serv"} {
		write(t, path, text)
		r.eventually(t, "reported", func() bool { return len(r.problems) > 0 || strings.HasSuffix(text, "Serv") })
		write(t, path, service("a", "two")+"---\n"+service("b", "two"))
		r.eventually(t, "repaired", func() bool { return r.value("a") == "two" && len(r.problems) == 0 })
		write(t, path, service("a", "one")+"---\n"+service("b", "one"))
		r.eventually(t, "back", func() bool { return r.value("a") == "one" })
	}
	// The good part of a file that is broken elsewhere takes effect, the rest stays as it was.
	write(t, path, service("a", "three")+"---\nkind: {\n")
	r.eventually(t, "good part", func() bool { return r.value("a") == "three" })
	if r.value("b") != "one" || !r.hasProblem("stays in effect") {
		t.Errorf("b %q, problems %v", r.value("b"), r.problems)
	}
	if len(r.deleted) != 0 {
		t.Errorf("deleted in between: %v", r.deleted)
	}
	write(t, path, "# nothing any more\n")
	r.eventually(t, "deleted with intent", func() bool { return len(r.objects) == 0 })
}

func TestInvalidObjectKeepsItsLastGoodVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	good := service("b", "one") + "---" + vsText
	write(t, path, good)
	r := start(t, dir)
	vs := model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "reviews"}
	before := r.objects[vs]
	kept := func() bool {
		o := r.objects[vs]
		read := time.Unix(o.Origin.AsOf, 0)
		return o.Spec == before.Spec && o.Origin.Line == before.Origin.Line && time.Since(read).Abs() < time.Minute
	}
	write(t, path, strings.Replace(good, "weight", "wieght", 1)+"---\n"+service("c", "new"))
	r.eventually(t, "reported, the rest in effect", func() bool { return r.hasProblem("wieght") && r.value("c") == "new" })
	if !r.hasProblem("last good version stays in effect") || !kept() {
		t.Errorf("problems %v, and %+v in effect", r.problems, r.objects[vs].Origin)
	}
	write(t, path, strings.Replace(good, "weight: 90", "weight: -90", 1))
	r.eventually(t, "the same of what makes no sense", func() bool { return r.hasProblem("negative") })
	if p := r.problems[0]; p.Field != "spec.http[0].route[0].weight" || p.Origin.Line != 18 || !kept() {
		t.Errorf("problem %+v, and %+v in effect", p, r.objects[vs].Origin)
	}
	write(t, path, good)
	r.eventually(t, "mended", func() bool { return len(r.problems) == 0 && r.objects[vs].Origin == before.Origin })
	write(t, path, service("b", "one"))
	r.eventually(t, "deleted", func() bool { return r.objects[vs] == nil && len(r.problems) == 0 })
}

func TestDuplicatesAndLaterDirectories(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	write(t, filepath.Join(one, "b.yaml"), service("a", "second"))
	write(t, filepath.Join(one, "a.yaml"), service("a", "first"))
	r := start(t, one, two)
	if r.value("a") != "first" || len(r.problems) != 1 || r.problems[0].Reason != model.ReasonConflict {
		t.Fatalf("%q, %v", r.value("a"), r.problems)
	}
	write(t, filepath.Join(two, "z.yaml"), service("a", "state"))
	r.eventually(t, "replaced by the later directory", func() bool { return r.value("a") == "state" })
	removeFile(t, filepath.Join(one, "b.yaml"))
	r.eventually(t, "no conflict", func() bool { return len(r.problems) == 0 })
	removeFile(t, filepath.Join(two, "z.yaml"))
	r.eventually(t, "the earlier one again", func() bool { return r.value("a") == "first" })
}

// TestMountedConfigMap swaps a directory behind a link, as a kubelet does.
func TestMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	publish := func(version, text string) {
		data := filepath.Join(dir, "..v"+version)
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(data, "a.yaml"), text)
		temp := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(filepath.Base(data), temp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("1", service("a", "one"))
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := startWith(t, Options{Poll: time.Hour}, dir)
	publish("2", service("a", "two"))
	r.eventually(t, "swapped", func() bool { return r.value("a") == "two" })
}

// TestDirectoryThatIsMovedAwayIsReportedAtOnce has no look at the directory that it lives to see.
func TestDirectoryThatIsMovedAwayIsReportedAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := startWith(t, Options{Poll: time.Hour}, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "reported", func() bool { return r.hasProblem("cannot be read") })
}

func TestLostDirectoryKeepsWhatItHeld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), service("a", "one"))
	r := start(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "reported", func() bool { return r.hasProblem("cannot be read") })
	if r.value("a") != "one" {
		t.Error("what it held is gone")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), service("a", "two"))
	r.eventually(t, "back", func() bool { return r.value("a") == "two" && len(r.problems) == 0 })
	write(t, filepath.Join(dir, "a.yaml"), service("a", "three"))
	r.eventually(t, "watched again", func() bool { return r.value("a") == "three" })
	if len(r.deleted) != 0 {
		t.Errorf("deleted in between: %v", r.deleted)
	}
}

func TestUnreadableDirectoryAtTheStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	err := New([]string{missing}, Options{}).Run(t.Context(), &recorder{changed: make(chan struct{})})
	if err == nil || !strings.Contains(err.Error(), missing) || strings.Count(err.Error(), missing) != 1 {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "a.yaml")
	write(t, file, "")
	if err := New([]string{file}, Options{}).Run(t.Context(), &recorder{changed: make(chan struct{})}); err == nil {
		t.Error("a file is no directory")
	}
}

// TestFileIsReadWhenItsWriterIsDone has no look at the directory that the test lives to see.
func TestFileIsReadWhenItsWriterIsDone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one")+"---\n"+service("b", "one"))
	r := startWith(t, Options{Settle: time.Millisecond, Poll: time.Hour}, dir)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(service("a", "two") + "---\n"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c.yaml"), service("c", "one"))
	r.eventually(t, "another file", func() bool { return r.value("c") == "one" })
	if r.value("a") != "one" || r.value("b") != "one" {
		t.Errorf("a half-written file was read: %v", r.objects)
	}
	if _, err := f.WriteString(service("b", "two")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "the whole file", func() bool { return r.value("a") == "two" && r.value("b") == "two" })
	if len(r.deleted) != 0 {
		t.Errorf("deleted in between: %v", r.deleted)
	}
}

// TestLinksThatLeadOut edits files of which the kernel does not tell.
func TestLinksThatLeadOut(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	target := filepath.Join(elsewhere, "a.yaml")
	write(t, target, service("a", "one"))
	if err := os.Symlink(target, filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	write(t, target, service("a", "two"))
	r.eventually(t, "behind a link of the start", func() bool { return r.value("a") == "two" })
	other := filepath.Join(elsewhere, "b.yaml")
	write(t, other, service("b", "one"))
	if err := os.Symlink(other, filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "a new link", func() bool { return r.value("b") == "one" })
	write(t, other, service("b", "two"))
	r.eventually(t, "behind a new link", func() bool { return r.value("b") == "two" })
	if err := os.Link(target, filepath.Join(dir, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "another name of a file", func() bool { return r.hasProblem("defined twice") })
	removeFile(t, filepath.Join(dir, "a.yaml"))
	write(t, target, service("a", "three"))
	r.eventually(t, "written under its other name", func() bool { return r.value("a") == "three" })
}

// TestRemovedAndBrokenKeepsTheLastGoodVersion removes a file and writes it anew, in a broken form.
func TestRemovedAndBrokenKeepsTheLastGoodVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	r := startWith(t, Options{Settle: time.Hour}, dir)
	removeFile(t, path)
	write(t, path, "kind: {\n")
	r.eventually(t, "reported", func() bool { return r.hasProblem("what the file held before stays in effect") })
	if r.value("a") != "one" {
		t.Error("the last good version is gone")
	}
}

// TestLostNotifications lets a source know only that it missed some.
func TestLostNotifications(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	w, err := newWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	s := New([]string{dir}, Options{})
	s.watch = w
	s.changed(&changes{dirs: map[int]bool{0: true}})
	if events := s.tree.take(time.Now()); len(events) != 1 {
		t.Fatalf("at first: %v", events)
	}
	write(t, path, service("a", "two"))
	overflow := binary.NativeEndian.AppendUint32(nil, 0xffffffff) // a descriptor of no directory
	overflow = binary.NativeEndian.AppendUint32(overflow, unix.IN_Q_OVERFLOW)
	told := newChanges()
	w.mu.Lock()
	w.gathered.clear()
	news := w.gather(append(overflow, make([]byte, 8)...))
	told.lost = w.gathered.lost
	w.mu.Unlock()
	if !news || !told.lost {
		t.Fatal("nobody is told of an overflow")
	}
	s.changed(told)
	if events := s.tree.take(time.Now()); len(events) != 1 || events[0].New.Labels["v"] != "two" {
		t.Errorf("afterwards: %v", events)
	}
}

// TestEditsDoNotWaitForAPoll leaves all to what the kernel tells.
func TestEditsDoNotWaitForAPoll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a", "one"))
	r := &recorder{source: New([]string{dir}, Options{Poll: time.Hour}), objects: map[model.Key]*model.Object{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.source.Run(ctx, r) }()
	r.eventually(t, "synced", func() bool { return r.synced })
	replace(t, path, service("a", "two"))
	r.eventually(t, "followed", func() bool { return r.value("a") == "two" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
