package random

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Files that tell which kinds the control plane reads, and their names.
const (
	kindsFile = "../../pilot/source/kinds/kinds.go"
	namesFile = "../../pilot/model/key.go"
)

// undecided are the kinds that the control plane reads and that decide nothing for a proxy, with the
// reason. All others have to be among those that the editor edits.
func undecided() map[model.Kind]string {
	return map[model.Kind]string{
		model.KindProxyConfig:    "injection gives its values to pods, which tell them to their proxies themselves",
		model.KindConfigMap:      "but for the one that holds the mesh configuration, which the source also gives as a MeshConfig",
		model.KindDeployment:     "pilotctl up runs its pods, and those are what a proxy's configuration follows from",
		model.KindTrustBundle:    "nobody writes it; the certificate authority is its source, and pilot/build edits it",
		model.KindWorkloadGroup:  "a machine that connects makes a WorkloadEntry of it (pilot/machine), and the editor edits those",
		model.KindSecret:         "routers of this mesh prove no namespace, so they get none; pilot/build edits them, and test/gateway serves them",
		model.KindServiceAccount: "a pod names the account that it runs as, whether or not there is an object",
	}
}

// Every kind that the control plane reads is edited, or is known to decide nothing.
func TestEveryKindIsEdited(t *testing.T) {
	t.Parallel()
	edited := map[model.Kind]bool{}
	e := &editor{t, rand.New(rand.NewPCG(1, 1))}
	for _, m := range makers() {
		if m.weight > 0 && e.makes(m) {
			edited[m.kind] = true
		}
	}
	read := knownKinds(t)
	for kind, at := range read {
		why, ok := undecided()[kind]
		switch {
		case !ok && !edited[kind]:
			t.Errorf("%s: kind %s is read, and nothing edits it: give it a maker in makers, or a reason in undecided", at, kind)
		case ok && edited[kind]:
			t.Errorf("kind %s is edited, and said to decide nothing: %s", kind, why)
		}
	}
	for kind := range undecided() {
		if _, ok := read[kind]; !ok {
			t.Errorf("kind %s is said to decide nothing, and is not read", kind)
		}
	}
}

// makes tells whether what a maker makes is an object of its kind that a source hands on, other than
// the one before.
func (e *editor) makes(m maker) bool {
	var former *model.Object
	for range 100 {
		for _, o := range e.make(m) {
			if o.Kind != m.kind {
				continue
			}
			if former != nil && !model.SameSpec(former, o) {
				return true
			}
			former = o
		}
	}
	return false
}

// knownKinds gives the kinds that have a name in the model or of which kinds.go says how to read
// them, and where. There they are the first field of a Kubernetes, and keys of a map of Istio.
func knownKinds(t *testing.T) map[model.Kind]token.Position {
	t.Helper()
	named := kindNames(t)
	out := map[model.Kind]token.Position{}
	for _, n := range named {
		out[n.kind] = n.at
	}
	fset, parsed := parse(t, kindsFile)
	found := 0
	take := func(e ast.Expr) {
		kind := model.Kind("")
		switch e := e.(type) {
		case *ast.SelectorExpr:
			kind = named[e.Sel.Name].kind
		case *ast.BasicLit:
			kind = literal(t, e)
		}
		if kind == "" {
			t.Fatalf("%v: what kind this is cannot be told here; name it as %s does", fset.Position(e.Pos()), namesFile)
		}
		out[kind] = fset.Position(e.Pos())
		found++
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch typ := lit.Type.(type) {
		case *ast.Ident:
			if typ.Name == "Kubernetes" && len(lit.Elts) > 0 {
				take(value(lit.Elts[0]))
			}
		case *ast.MapType:
			if v, ok := typ.Value.(*ast.Ident); ok && v.Name == "Istio" {
				for _, entry := range lit.Elts {
					take(entry.(*ast.KeyValueExpr).Key)
				}
			}
		}
		return true
	})
	if found == 0 {
		t.Fatalf("%s names no kinds in a form that is known here", kindsFile)
	}
	return out
}

// namedKind is a constant of type Kind.
type namedKind struct {
	kind model.Kind
	at   token.Position
}

// kindNames gives the constants of type Kind.
func kindNames(t *testing.T) map[string]namedKind {
	t.Helper()
	out := map[string]namedKind{}
	fset, parsed := parse(t, namesFile)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Kind" && len(spec.Values) == 1 {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				out[spec.Names[0].Name] = namedKind{literal(t, lit), fset.Position(lit.Pos())}
			}
		}
		return true
	})
	return out
}

func parse(t *testing.T, name string) (*token.FileSet, *ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return fset, parsed
}

// value is that of a field, whether or not it is named.
func value(e ast.Expr) ast.Expr {
	if kv, ok := e.(*ast.KeyValueExpr); ok {
		return kv.Value
	}
	return e
}

func literal(t *testing.T, lit *ast.BasicLit) model.Kind {
	t.Helper()
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Fatal(err)
	}
	return model.Kind(text)
}
