package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// longest is how many words a clause of a page or a comment may have. The aim is about 25 a sentence, so
// that a reader whose English is a second language needs no second reading; what is above this has no reader.
const longest = 35

var (
	fenced    = regexp.MustCompile("(?s)```.*?```")
	paragraph = regexp.MustCompile(`\n\s*\n|\n[-*] |\n\d+\. |\n    |\|`)
	clause    = regexp.MustCompile(`[.!?:;]\)?\s+`)
	word      = regexp.MustCompile(`[\pL\d]`)
)

// TestSentencesAreShort reads the pages and the comments of all packages. A clause ends at a full stop, a
// colon or a semicolon. docs/istio-api.md and docs/bench/goals.md are written by programs.
func TestSentencesAreShort(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "../..":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md") && d.Name() != "istio-api.md" && d.Name() != "goals.md":
			page, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			shortClauses(t, path, fenced.ReplaceAllString(string(page), ""))
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".pb.go"):
			return shortComments(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func shortComments(t *testing.T, path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, group := range file.Comments {
		shortClauses(t, path, prose(group))
	}
	return nil
}

// prose gives the text of a comment without what stands indented in it, which is code or a list.
func prose(group *ast.CommentGroup) string {
	var lines []string
	for line := range strings.Lines(group.Text()) {
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "  ") {
			line = "\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func shortClauses(t *testing.T, path, text string) {
	for _, p := range paragraph.Split(text, -1) {
		for _, c := range clause.Split(p, -1) {
			words := 0
			for _, field := range strings.Fields(c) {
				if word.MatchString(field) {
					words++
				}
			}
			if words > longest {
				t.Errorf("%s: %d words without a stop: %s", path, words, strings.Join(strings.Fields(c), " "))
			}
		}
	}
}
