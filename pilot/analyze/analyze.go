// Package analyze tells what is wrong with a set of files before anything runs. The control plane's own
// code (source/file, validate, store, build) reports what it would report of any proxy that the files'
// workloads and gateways could have. Like Istio's analyzers, the package also reports what only shows
// when objects are seen side by side: references that lead nowhere, rules that are never used, selectors
// that select nobody. It is pure: files in, findings out.
//
// An analyzer is a function over the mesh that reports findings; the table in analyzers lists them. A
// test is one file (testdata/*.txtar): input.yaml, findings.txt.
package analyze

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Level says how bad a finding is, in Istio's words.
type Level string

// The levels, the worst last.
const (
	Info    Level = "Info"
	Warning Level = "Warning"
	Error   Level = "Error"
)

// rank orders levels.
func (l Level) rank() int { return slices.Index([]Level{Info, Warning, Error}, l) }

// AtLeast tells whether a level is as bad as another one, or worse.
func (l Level) AtLeast(other Level) bool { return l.rank() >= other.rank() }

// ParseLevel reads a level, in upper or lower case; ok is false where it is none.
func ParseLevel(s string) (l Level, ok bool) {
	for _, l := range []Level{Info, Warning, Error} {
		if strings.EqualFold(s, string(l)) {
			return l, true
		}
	}
	return "", false
}

// Finding is one thing that is wrong.
type Finding struct {
	// Code is Istio's, e.g. IST0101 (https://istio.io/latest/docs/reference/config/analysis); empty where
	// Istio has none.
	Code    string
	Level   Level
	Object  model.Key
	Field   string // path in the object; may be empty
	Message string // what is wrong and what to do, one sentence
	Origin  model.Origin
	// Unknown tells that it is about a document that is no object of a mesh: it does not parse, or nothing here reads
	// its kind.
	Unknown bool
}

// compare orders findings by where they stand.
func (f Finding) compare(o Finding) int {
	return cmp.Or(strings.Compare(f.Origin.File, o.Origin.File), cmp.Compare(f.Origin.Line, o.Origin.Line),
		f.Object.Compare(o.Object), strings.Compare(f.Field, o.Field), strings.Compare(f.Code, o.Code), strings.Compare(f.Message, o.Message))
}

// File is a file of YAML or JSON.
type File struct {
	Name string // as findings name it
	Data []byte
	// Namespace is that of objects which name none; "" for the usual one.
	Namespace string
	// Mesh tells that it is a mesh configuration, and no file of objects.
	Mesh bool
	// Dir is the place of its directory among several: an object of a later one replaces that of an
	// earlier one, as in a control plane.
	Dir int
}

// Files gives the findings of all files together, by file and line. The error is ctx's.
func Files(ctx context.Context, files []File) ([]Finding, error) {
	m := load(files)
	if err := m.translate(ctx); err != nil {
		return nil, err
	}
	return m.compared(), nil
}

// compared adds what analyzers find to what the control plane says, each finding once.
func (m *mesh) compared() []Finding {
	said := m.findings
	m.findings = nil
	for _, analyze := range Analyzers() {
		analyze.find(m)
	}
	analyzed := m.findings
	told := toldBy(analyzed)
	m.findings = append(slices.DeleteFunc(merged(said), func(f Finding) bool { return m.repeats(f, told) }), analyzed...)
	return m.sorted()
}

// Objects gives the findings about each object for itself, by file and line: what a control plane would
// refuse or pass over, whatever else there is.
func Objects(files []File) []Finding {
	return decoded(files).sorted()
}

// sorted gives the findings with their lines, each once.
func (m *mesh) sorted() []Finding {
	for i := range m.findings {
		f := &m.findings[i]
		f.Origin.Line = m.lines.Line(f.Origin, f.Object, f.Field)
	}
	out := slices.Clone(m.findings)
	slices.SortFunc(out, Finding.compare)
	return slices.Compact(out)
}
