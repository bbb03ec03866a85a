package translate

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

var update = flag.Bool("update", false, "write the expected sections of the cases anew")

// isInput tells which sections people write.
func isInput(name string) bool {
	return path.Base(name) == "input.yaml" || name == "proxies.yaml"
}

func forEachCase(t *testing.T, run func(t *testing.T, file string, a *txtar.Archive, c *Case)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range files {
		name, ok := strings.CutSuffix(filepath.Base(file), ".txtar")
		if !ok {
			if fi, err := os.Stat(file); err == nil && fi.IsDir() && (name == "fuzz" || name == "fields") {
				continue
			}
			t.Errorf("%s is not a case", file)
			continue
		}
		t.Run(name, func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(a)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			run(t, file, a, c)
		})
	}
}

// The expected sections of a case are exactly those that translation makes: a section that
// nothing makes any more fails as well.
func TestCases(t *testing.T) {
	forEachCase(t, func(t *testing.T, file string, a *txtar.Archive, c *Case) {
		golden, err := c.Golden()
		if err != nil {
			t.Fatal(err)
		}
		next := &txtar.Archive{Comment: a.Comment}
		for _, f := range a.Files {
			if isInput(f.Name) {
				next.Files = append(next.Files, f)
			}
		}
		next.Files = append(next.Files, golden...)
		if *update {
			if err := os.WriteFile(file, txtar.Format(next), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		if diff := cmp.Diff(string(txtar.Format(a)), string(txtar.Format(next))); diff != "" {
			t.Errorf("%s differs (-expected +got); -update writes it anew:\n%s", file, diff)
		}
	})
}

func validateAll(t testing.TB, res Resources) {
	t.Helper()
	for _, p := range res.Problems {
		if p.Object.Kind == model.KindResource {
			t.Errorf("translation made what Envoy's API forbids: %s", p)
		}
	}
	for kind, list := range res.ByType {
		seen := map[string]bool{}
		for _, r := range list {
			if seen[r.Name] {
				t.Errorf("%s %q is there twice", kind, r.Name)
			}
			seen[r.Name] = true
			if err := Validate(r.Body); err != nil {
				t.Errorf("%s %q: %v", kind, r.Name, err)
			}
		}
	}
}

func TestEveryMessageIsValid(t *testing.T) {
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			validateAll(t, Build(r, c.Proxies[i].Model()))
		}
	})
}

// wire gives all bytes of a proxy's resources, in the order of translation.
func wire(t testing.TB, res Resources) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, kind := range types {
		for _, r := range res.ByType[kind] {
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			out.WriteString(kind + " " + r.Name + "\n")
			out.Write(data)
		}
	}
	for _, p := range res.Problems {
		out.WriteString(p.String() + "\n")
	}
	return out.Bytes()
}

// Invariant 2: the same objects give the same bytes, again and in whatever order they came.
func TestPurity(t *testing.T) {
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		order := rand.New(rand.NewPCG(1, 2))
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			want := wire(t, Build(r, p))
			if !bytes.Equal(want, wire(t, Build(r, p))) {
				t.Errorf("%s: a second translation of one snapshot differs", p.Name)
			}
			shuffled := append([]*model.Object(nil), c.Objects...)
			for range 3 {
				order.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
				if !bytes.Equal(want, wire(t, Build(Snapshot(shuffled), p))) {
					t.Errorf("%s: the order of the objects decides the bytes", p.Name)
				}
			}
		}
	})
}

// Replicas are one class: neither the pod's name nor its address nor a label that selects
// nothing makes another.
func TestReplicasShareAClass(t *testing.T) {
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		r := Snapshot(c.Objects).Reader(nil)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			if pod := r.Pod("", p.Namespace, p.Name); pod != nil {
				p.Labels = pod.Labels
			}
			p.Name += "-unknown"
			one := resolve.Classify(r, p)
			replica := *p
			replica.Name, replica.ID, replica.IPs = "another", "sidecar~10.99.0.1~another~x", nil
			for _, ip := range p.IPs { // another address of the same family
				replica.IPs = append(replica.IPs, ip+"9")
			}
			replica.Labels = map[string]string{"pod-template-hash": "5d4c7f"}
			for k, v := range p.Labels {
				replica.Labels[k] = v
			}
			if other := resolve.Classify(r, &replica); other.Key != one.Key {
				t.Errorf("%s: class %+v, its replica %+v", p.Name, one, other)
			}
		}
	})
}
