package translate

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// trial is a value of a field with what it is expected to change.
type trial struct {
	value, base string
	acts, told  bool
	refused     bool
	broken      bool     // without it the object is refused, so that what changes says little
	at, said    string   // where it is told to have no effect, and why
	same        string   // why it changes nothing, or no more than another value
	lines       []string // what it changes, and what is told of it
}

// tried compares what a mesh gives with and without a value. What is said of the field may be said of the base too.
func tried(t *testing.T, value, base, said string, before, after *effect) trial {
	t.Helper()
	out := trial{value: value, base: base}
	if said != "" && slices.ContainsFunc(before.problems, func(p model.Problem) bool { return p.Message == said }) {
		out.lines = append(out.lines, "tells: "+said)
	}
	for _, p := range after.problems {
		if slices.Contains(before.problems, p) {
			continue
		}
		how := "warns"
		if p.Severity == model.SeverityError {
			how = "refuses"
		}
		if p.Reason == model.ReasonNotTranslated {
			how = "tells"
		}
		line := how + ": " + strings.TrimPrefix(p.Field+": ", ": ") + p.Message
		if p.Object.Name != "walked" && p.Object.Name != "istio" {
			line = how + " of " + string(p.Object.Kind) + " " + p.Object.Name + ": " + strings.TrimPrefix(p.Field+": ", ": ") + p.Message
		}
		out.lines = append(out.lines, strings.ReplaceAll(line, "\n", " "))
	}
	if !before.same(after) {
		out.lines = append(out.lines, differences(t, before, after)...)
	}
	return out
}

// text is the trial's part of the golden.
func (tr trial) text(path string, base int) string {
	out := path + " = " + tr.value
	if base > 0 {
		out += fmt.Sprintf(" in base %d", base)
	}
	if tr.broken {
		out += ", which has an error without it"
	}
	if tr.same != "" {
		out += ": " + tr.same
	} else if len(tr.lines) == 0 {
		out += ": nothing changes"
	}
	return strings.Join(append([]string{out}, indented(tr.lines)...), "\n") + "\n"
}

// change is what is different of what some consumers are given.
type change struct {
	itemName
	to    []string // whom of consumerNames it reaches
	how   string   // "+", "-" or ""
	lines []string
}

// differences gives what proxies get otherwise. What is the same at several of them, or in several resources, is
// said once.
func differences(t *testing.T, before, after *effect) []string {
	t.Helper()
	var all []*change
	for i := range before.got {
		for _, c := range differencesOf(before.got[i], after.got[i]) {
			same := slices.IndexFunc(all, func(o *change) bool {
				return c.itemName == o.itemName && c.how == o.how && slices.Equal(c.lines, o.lines)
			})
			if same >= 0 {
				all[same].to = append(all[same].to, consumerNames[i])
				continue
			}
			c.to = []string{consumerNames[i]}
			all = append(all, c)
		}
	}
	return byResource(all)
}

func head(c *change, left []string) string {
	line := strings.Join(strings.Fields(c.how+" "+kindNames[c.kind]+" "+c.name), " ") + more(left)
	if !slices.Equal(c.to, consumerNames[:proxies]) {
		line += " (" + strings.Join(c.to, ", ") + ")"
	}
	if len(c.lines) > 0 {
		line += ":"
	}
	return line
}

// differencesOf gives what one consumer gets otherwise.
func differencesOf(before, after map[itemName]*item) (out []*change) {
	both := maps.Clone(before)
	if both == nil {
		both = map[itemName]*item{}
	}
	maps.Copy(both, after)
	for _, name := range slices.SortedFunc(maps.Keys(both), compareNames) {
		a, b := before[name], after[name]
		c := &change{itemName: name}
		switch {
		case b == nil:
			c.how = "-"
		case a == nil:
			c.how = "+"
			c.lines = addedItem(name, b.tree(), before)
		case a.version == b.version:
			continue
		case b.refused != "":
			c.lines = []string{"refused: " + b.refused}
		default:
			c.lines = changesOf("", a.tree(), b.tree())
		}
		if len(c.lines) > 0 || c.how != "" {
			out = append(out, c)
		}
	}
	return out
}

func compareNames(a, b itemName) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
}

// addedItem shows what there was not, beside the one of its kind that is the most like it.
func addedItem(name itemName, added any, before map[itemName]*item) []string {
	var siblings []any
	var names []string
	for _, other := range slices.SortedFunc(maps.Keys(before), compareNames) {
		if other.kind == name.kind {
			siblings, names = append(siblings, before[other].tree()), append(names, other.name)
		}
	}
	return like("", added, siblings, names)
}

// checkGolden compares what each field of a kind changes with what the kind's file says, or writes it.
func checkGolden(t *testing.T, kind string, fields []outcome) {
	t.Helper()
	var bases []string
	for _, f := range fields {
		for _, tr := range f.tried {
			if !slices.Contains(bases, tr.base) {
				bases = append(bases, tr.base)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, goldenHead, kind)
	for i, base := range bases {
		fmt.Fprintf(&b, "base %d: %s\n", i, strings.Join(strings.Fields(base), " "))
	}
	b.WriteString("\n")
	for _, f := range fields {
		if f.quiet != "" {
			fmt.Fprintf(&b, "%s: %s\n", f.path, f.quiet)
		}
		for _, tr := range f.tried {
			b.WriteString(tr.text(f.path, slices.Index(bases, tr.base)))
		}
	}
	checkFile(t, filepath.Join("testdata", "fields", kind+".txt"), abbreviated(b.String()))
}

const goldenHead = `# What each field of %s changes, and what is told of it: the values that the test of the fields expects. It is
# compared with and without the field in one of the bases, in the mesh of fields_world_test.go: what the Envoys of a
# client, a server and a gateway get, their pods as they are injected, and what their agents do; a machine; and what
# the control plane fetches. (Names in brackets are those whom a change reaches, where it is not the three
# with an Envoy.) Written by make apidoc; whoever changes a line says that it is right.

`
