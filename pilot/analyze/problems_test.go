package analyze_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// What the control plane says while it translates for a pod that is in the files is said without it as
// well, by the same words or by an analyzer at the same field.
func TestProblemsOfEveryProxyAreFound(t *testing.T) {
	cases, err := filepath.Glob("../../test/translate/testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	problems := 0
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := translate.Parse(archive)
		if err != nil {
			t.Fatal(err)
		}
		var files []analyze.File
		for _, f := range archive.Files {
			if f.Name == "input.yaml" {
				files = append(files, analyze.File{Name: f.Name, Data: f.Data})
			}
		}
		found, err := analyze.Files(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		snapshot := translate.Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			if !slices.ContainsFunc(c.Objects, func(o *model.Object) bool {
				return o.Kind == model.KindPod && o.Namespace == p.Namespace && o.Name == p.Name
			}) {
				continue
			}
			for _, problem := range translate.Build(snapshot, p).Problems {
				if strings.Contains(problem.Message, "have been fetched") {
					continue // nobody fetches for files
				}
				problems++
				if !slices.ContainsFunc(found, func(f analyze.Finding) bool { return says(f, problem) }) {
					t.Errorf("%s: proxy %s: %s is not found", filepath.Base(path), p.Name, problem)
				}
				for _, f := range found { // one thing that is told of a field has one level, whoever tells it
					if f.Object == problem.Object && f.Field == problem.Field && !slices.Contains([]string{"IST0106", "IST0162"}, f.Code) && string(f.Level) != string(problem.Severity) {
						t.Errorf("%s: %s is %s of a running mesh, and %s of files: %s", filepath.Base(path), problem, problem.Severity, f.Level, f.Message)
					}
				}
			}
		}
	}
	if problems == 0 {
		t.Error("no case has a problem")
	}
}

// says tells whether a finding is the problem, or an analyzer's word about the same place. Objects that
// are in the way of each other are told at the one that is not used.
func says(f analyze.Finding, p model.Problem) bool {
	if f.Object == p.Object && f.Message == p.Message {
		return true
	}
	if f.Object != p.Object || f.Code == "" {
		return false
	}
	if f.Code == "IST0106" { // it does not take effect at all
		return true
	}
	return f.Field == p.Field || strings.HasPrefix(f.Field, p.Field) || p.Reason == model.ReasonConflict
}
