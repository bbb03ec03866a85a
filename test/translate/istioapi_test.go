package translate

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// The walk writes documentFile, and its summary into readmeFile between two lines.
const (
	documentFile, readmeFile = "../../docs/istio-api.md", "../../README.md"
	summaryBegin             = "<!-- Istio API: what works. Written by `make apidoc`. -->\n"
	summaryEnd               = "<!-- End of Istio API: what works. -->\n"
)

const documentHead = `# Istio API: what works

Every field of the kinds of Istio and Kubernetes that the control plane reads, as a test finds it out: it sets
each in turn, and looks at what proxies get and at what is reported. Written by ` + "`make apidoc`" + `, checked by
` + "`go test ./test/translate -run TestIstioAPI`" + `; do not edit. What is not supported is reported as a problem with file,
line, object and field wherever it is set. Fields that are supported in part have a reason below as well.

The Kubernetes Gateway API and ambient mode are not there. So ` + "`targetRefs`" + ` and ` + "`targetRef`" + ` choose one thing only: the
pods of a gateway whose label ` + "`gateway.networking.k8s.io/gateway-name`" + ` is the name in the reference, in the object's own
namespace. The reference says ` + "`kind: Gateway`" + ` and ` + "`group: gateway.networking.k8s.io`" + `, and no such object is read.

`

// checkDocument compares the document and the README's table with what the walk found out.
func checkDocument(t *testing.T, all []apiKind) {
	t.Helper()
	readme := read(t, readmeFile)
	before, rest, begins := strings.Cut(readme, summaryBegin)
	_, after, ends := strings.Cut(rest, summaryEnd)
	if !begins || !ends {
		t.Fatalf("%s has no lines %q and %q, between which its table is", readmeFile, summaryBegin, summaryEnd)
	}
	table := summary(all, strings.TrimPrefix(documentFile, "../../"))
	checkFile(t, readmeFile, before+summaryBegin+"\n"+table+"\n"+summaryEnd+after)
	checkFile(t, documentFile, document(all))
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkFile compares a file with what it should be, or writes it.
func checkFile(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(read(t, file), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("%s is out of date (-is +should be), run make apidoc:\n%s", file, diff)
	}
}

// summary counts the fields of each kind, whose name leads to its part of the document.
func summary(all []apiKind, document string) string {
	var b strings.Builder
	b.WriteString("| kind | fields | supported | in part | not supported |\n|---|---|---|---|---|\n")
	for _, k := range all {
		full, part, none := count(k.found())
		fmt.Fprintf(&b, "| [%s](%s#%s) | %d | %d | %d | %d |\n", k.name(), document, strings.ToLower(k.name()), full+part+none, full, part, none)
	}
	return b.String()
}

func document(all []apiKind) string {
	var b strings.Builder
	b.WriteString(documentHead + summary(all, ""))
	for _, k := range all {
		fmt.Fprintf(&b, "\n## %s\n\n", k.name())
		if served, ok := kinds.OfIstio()[model.Kind(k.name())]; ok {
			fmt.Fprintf(&b, "`%s`: %s.\n\n", served.Group, strings.Join(served.Versions, ", "))
		}
		writeReasons(&b, k.found())
		writeSupported(&b, k.found())
	}
	return b.String()
}

// supported tells whether a field does something, or needs to do nothing.
func (o outcome) supported() bool { return o.acts || o.quiet != "" }

// reasons gives what is said of a field and of its values.
func (o outcome) reasons() []string {
	var out []string
	for _, value := range slices.Sorted(maps.Keys(o.values)) {
		if why := strings.TrimPrefix(o.values[value], value+": "); why != o.why {
			out = append(out, value+": "+why)
		}
	}
	if o.why != "" {
		out = append(out, o.why)
	}
	return out
}

func count(fields []outcome) (full, part, none int) {
	for _, f := range fields {
		switch {
		case !f.supported():
			none++
		case len(f.reasons()) > 0:
			part++
		default:
			full++
		}
	}
	return full, part, none
}

// writeReasons lists what has no effect, and what has one in part.
func writeReasons(b *strings.Builder, fields []outcome) {
	var rows []string
	for _, f := range fields {
		at, how := f.said, "no"
		if f.supported() {
			at, how = f.path, "in part"
		}
		reasons := f.reasons()
		if len(reasons) == 0 {
			continue
		}
		row := fmt.Sprintf("| `%s` | %s | %s |\n", at, how, strings.ReplaceAll(strings.Join(reasons, "; "), "|", `\|`))
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		b.WriteString("All fields are supported.\n\n")
		return
	}
	b.WriteString("| field | supported | why not |\n|---|---|---|\n" + strings.Join(rows, "") + "\n")
}

// writeSupported lists what is wholly supported, the fields of one message in one line.
func writeSupported(b *strings.Builder, fields []outcome) {
	b.WriteString("Supported:\n\n")
	names := map[string][]string{}
	var messages []string
	for _, f := range fields {
		if !f.supported() || len(f.reasons()) > 0 {
			continue
		}
		in, name := "", f.path
		if i := strings.LastIndexByte(f.path, '.'); i >= 0 {
			in, name = f.path[:i], f.path[i+1:]
		}
		if names[in] == nil {
			messages = append(messages, in)
		}
		names[in] = append(names[in], "`"+name+"`")
	}
	for _, in := range messages {
		if in == "" {
			fmt.Fprintf(b, "- %s\n", strings.Join(names[in], ", "))
			continue
		}
		fmt.Fprintf(b, "- `%s`: %s\n", in, strings.Join(names[in], ", "))
	}
}
