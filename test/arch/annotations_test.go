package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"istio.io/api/annotation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// untrimmed are packages that read annotations of objects which no source has trimmed, with why.
func untrimmed() map[string]string {
	return map[string]string{
		"pilot/inject":     "it is given the pods that an API server admits",
		"pilot/webhook":    "it is given what an API server admits",
		"pilot/incluster":  "it asks the API server itself for what it writes",
		"pilot/kubeclient": "it speaks to the API server",
	}
}

// TestSourcesKeepTheAnnotationsThatAreRead looks for every annotation that the control plane reads by its name. The
// sources drop most annotations of objects, and would take the effect of one away in silence.
func TestSourcesKeepTheAnnotationsThatAreRead(t *testing.T) {
	for _, a := range annotation.AllResourceAnnotations() {
		if !model.KeepsAnnotation(a.Name) {
			t.Errorf("the sources drop Istio's annotation %s", a.Name)
		}
	}
	names := constants(t)
	read := 0
	for _, p := range packages(t) {
		if !within(p.short(), "pilot") || untrimmed()[p.short()] != "" {
			continue
		}
		for _, file := range p.GoFiles {
			path := filepath.Join(p.Dir, file)
			for _, key := range annotationKeys(t, path) {
				name, known := names.value(p.Name, key)
				if !known {
					continue // one of many, in a loop over them
				}
				if read++; !model.KeepsAnnotation(name) {
					t.Errorf("%s reads the annotation %s, which the sources drop; name it in model.KeepsAnnotation", path, name)
				}
			}
		}
	}
	if read < 15 {
		t.Errorf("only %d places that read annotations were found", read)
	}
}

// annotationKeys gives the expressions by which a file looks up annotations.
func annotationKeys(t *testing.T, path string) []ast.Expr {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []ast.Expr
	ast.Inspect(file, func(n ast.Node) bool {
		index, ok := n.(*ast.IndexExpr)
		if ok && ofAnnotations(index.X) {
			out = append(out, index.Index)
		}
		return true
	})
	return out
}

// ofAnnotations tells whether an expression is a map of annotations: x.Annotations, x.GetAnnotations() or a variable
// of that name.
func ofAnnotations(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.CallExpr:
		return ofAnnotations(x.Fun)
	case *ast.SelectorExpr:
		return strings.HasSuffix(x.Sel.Name, "Annotations") && x.Sel.Name != "AllResourceAnnotations"
	case *ast.Ident:
		return x.Name == "annotations"
	}
	return false
}

// constantNames are texts by PACKAGE.NAME.
type constantNames map[string]string

// constants gives the constants of the control plane that are texts, or another such constant.
func constants(t *testing.T) constantNames {
	t.Helper()
	out := constantNames{}
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			if !within(p.short(), "pilot") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				for i := 0; ok && i < min(len(spec.Names), len(spec.Values)); i++ {
					if text, known := out.value(p.Name, spec.Values[i]); known {
						out[p.Name+"."+spec.Names[i].Name] = text
					}
				}
				return true
			})
		}
	}
	return out
}

// value gives the text that an expression stands for in a package.
func (c constantNames) value(pkg string, x ast.Expr) (string, bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil
	case *ast.Ident:
		text, ok := c[pkg+"."+x.Name]
		return text, ok
	case *ast.SelectorExpr:
		if of, ok := x.X.(*ast.Ident); ok {
			text, known := c[of.Name+"."+x.Sel.Name]
			return text, known
		}
	}
	return "", false // annotation.X.Name of Istio's API, all of which are kept
}
