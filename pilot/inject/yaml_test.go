package inject

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// agrees holds what a blockReader understands against the reader of all YAML, and tells whether it understood.
func agrees(t *testing.T, text string) bool {
	t.Helper()
	got, ok := readBlocks(text)
	if !ok {
		return false
	}
	want, err := readAnyYAML(text)
	if err != nil {
		t.Errorf("%q is no YAML (%v), and was read as %v", text, err, got)
	} else if d := cmp.Diff(want, mapsOf(got)); d != "" {
		t.Errorf("%q: -want +got:\n%s", text, d)
	}
	return true
}

// blockCases are texts with what is asserted of them: that a blockReader understands them.
var blockCases = map[string]bool{
	"": true, "# nothing\n\n": true, "a: 1\nb: two\n": true, "a:\nb:\n": true,
	"a:\n  b:\n    c: d\n  e: f\n": true, "a:\n- b\n- c: d\n  e: f\ng: h": true, "a:\n  - b\n  -   c: d\n      e: f": true,
	"- - a\n  - b\n- c": true, "-\n  a: b\n-\n": true, "a:\n  {\"b\": [1, 2]}\n": true, "a: {b: c, d: [e, -f, --g=1]}": true,
	"a: []\nb: {}\nc: [ ]": true, `a: "b\n\"c\" # d: e"`: true, `a: {"b":"c","d":null,"e":true}`: true, `a: "{{"`: true,
	"a: yes\nb: Off\nc: ~\nd: null\ne: y": true, "a: 0\nb: -5\nc: 007\nd: 1.5\ne: 1.2.3\nf: 10s\ng: 2001-01-01\nh: 0x1F\ni: 1_000\nj: .5\nk: +1": true,
	"a: 9223372036854775807\nb: 9223372036854775808\nc: 8080.0": true, "a: default:info\nb: http://c/d\ne: a,b]}": true, "a: -p\nb: --c\nd: /e": true,
	"a: [1,]": true, "a:    b   ": true, "just text": true, "istio.io/rev: x": true,

	"y: 1": false, "a: b: c": false, "a: b\n  c": false, "a:\n  b\n  c": false, "a:\n    b: c\n  d: e": false, "a: 'b'": false, "a: |\n  b": false,
	"a: b # c": false, "a: # b": false, "a: 1\na: 2": false, "a: &b c": false, "a: *b": false, "a: !!str 1": false, "---\na: b": false, "a: b\n...": false,
	"%YAML 1.1": false, "a: [b": false, "a: {b: c": false, "a: [b]c": false, "a: {b}": false, "a: {b:c}": false, "a: [a: b]": false, "a: [,]": false,
	"a: \"b": false, `a: "\x41"`: false, `a: "\ud83d\ude00"`: false, "a: \"b\" c": false, "\"a\": b": false, "a:\tb": false, "a: ä": false, "a: >-\n  b": false,
	"a: b:": false, "- a\nb: c": false, "a: b\n- c": false, "? a": false, "1: a": false, "a: -": false, "a: - b": false, "a: @b": false, "<<: {a: b}": false,
	"a: [- b]": false, "a: {\"b\" \"c\"}": false, "a:\n - b\n- c": false, "a: {b: c, b: d}": false,
}

func TestBlocks(t *testing.T) {
	for text, want := range blockCases {
		if got := agrees(t, text); got != want {
			t.Errorf("%q: understood %v, want %v", text, got, want)
		}
	}
	deep := strings.Repeat("[", 10*maxNested) + strings.Repeat("]", 10*maxNested)
	var many strings.Builder
	for i := range 2 * maxMembers {
		fmt.Fprintf(&many, "key%d: a\n", i)
	}
	if agrees(t, deep) || agrees(t, many.String()) || agrees(t, strings.Repeat("- ", 10*maxNested)+"a") || agrees(t, strings.Repeat("k", 1100)+": a") {
		t.Error("it has no bounds")
	}
}

// TestTemplatesAreReadQuickly: what our own templates write is in the forms that are read in a tenth of the time.
func TestTemplatesAreReadQuickly(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := readCase(t, a)
		in, err := New(c.options)
		if err != nil {
			continue
		}
		data, err := in.data(&c.pod, c.ns, c.owner)
		if err != nil {
			continue
		}
		for _, name := range []string{"sidecar", "gateway"} {
			var b strings.Builder
			if err := in.templates[name].Execute(&b, data); err != nil {
				continue // the case has another template of that name
			}
			read++
			if !agrees(t, b.String()) && in.config.Templates[name] == embedded(t, name) {
				t.Errorf("%s: template %s writes what is read slowly:\n%s", file, name, b.String())
			}
		}
	}
	if read < 20 {
		t.Errorf("only %d results were read", read)
	}
}

func embedded(t *testing.T, template string) string {
	t.Helper()
	text, err := os.ReadFile("files/" + template + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzBlocks looks for a text that a blockReader reads as something else than the reader of all YAML.
func FuzzBlocks(f *testing.F) {
	for text := range blockCases {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { agrees(t, text) })
}
