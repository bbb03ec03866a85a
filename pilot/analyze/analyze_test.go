package analyze

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the findings of the cases anew")

// text writes a finding as the cases have it.
func text(f Finding) string {
	code := f.Code
	if code == "" {
		code = "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%s:%d %s %s %s %s", f.Origin.File, f.Origin.Line, f.Level, code, f.Object, f.Field)) + ": " + f.Message + "\n"
}

// A case is one file: input.yaml, or several inputs, and findings.txt.
func TestCases(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var files []File
			want := -1
			for i, f := range archive.Files {
				if f.Name == "findings.txt" {
					want = i
				} else {
					files = append(files, File{Name: f.Name, Data: f.Data})
				}
			}
			found, err := Files(t.Context(), files)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, f := range found {
				got.WriteString(text(f))
			}
			if *update {
				if want < 0 {
					archive.Files, want = append(archive.Files, txtar.File{Name: "findings.txt"}), len(archive.Files)
				}
				archive.Files[want].Data = got.Bytes()
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want < 0 || !bytes.Equal(got.Bytes(), archive.Files[want].Data) {
				t.Errorf("got\n%s", got.Bytes())
			}
		})
	}
}

func TestSamplesHaveNoWarnings(t *testing.T) {
	var files []File
	paths, err := filepath.Glob("../../samples/bookinfo/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Name: path, Data: data})
	}
	found, err := Files(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !f.Level.AtLeast(Warning) { // the ingress gateway is not among the files
			continue
		}
		t.Error(strings.TrimSuffix(text(f), "\n"))
	}
}

// Whatever files hold, they are analyzed, each time with the same findings.
func FuzzFiles(f *testing.F) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := []File{{Name: "a.yaml", Data: data}}
		first, err := Files(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Files(t.Context(), files)
		if err != nil || !slices.Equal(first, second) {
			t.Errorf("%v: then %v (%v)", first, second, err)
		}
	})
}

func TestALaterDirectoryReplacesWhatAnEarlierOneHas(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: %s, port: 80}]}\n"
	find := func(dirs ...int) string {
		var files []File
		for i, dir := range dirs {
			files = append(files, File{Name: fmt.Sprintf("%d.yaml", i), Data: fmt.Appendf(nil, service, []string{"web", "http"}[i]), Dir: dir})
		}
		found, err := Files(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, f := range found {
			codes = append(codes, f.Origin.File+f.Code)
		}
		return strings.Join(codes, " ")
	}
	if got := find(0, 1); got != "" {
		t.Errorf("the good one in a later directory: %s", got)
	}
	if got := find(0, 0); got != "0.yaml"+portNaming+" 1.yaml" {
		t.Errorf("both in one directory: %s", got)
	}
}
