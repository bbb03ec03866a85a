// Package arch guards the house. It reads the imports of the whole module, and fails where an arrow goes
// against the flow or a program links what it must not. It also fails where a package other than a main
// reads flags or the environment. ARCHITECTURE.md says why each rule is there.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pilothouse-mesh/pilothouse/"

// pkg is what `go list` tells of one package.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// short gives the path inside the module.
func (p *pkg) short() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []*pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports,Deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []*pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, &p)
	}
}

// within tells whether path is the folder or below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// flow lists the stages of the control plane, and the packages of the module that each may import.
// A stage that is not named here may not be imported by another stage either.
var flow = map[string][]string{
	"pilot/jsontext":        {},
	"pilot/model":           {"proto/locality", "pilot/jsontext"},
	"pilot/patch":           {"pilot/model", "proto/envoyapi", "proto/httpfilter"},
	"pilot/cel":             {"pilot/model"},
	"pilot/yamldoc":         {},
	"pilot/validate":        {"pilot/model", "pilot/patch", "pilot/cel"},
	"pilot/source/kinds":    {"pilot/model"},
	"pilot/source/lines":    {"pilot/model", "pilot/source/kinds", "pilot/yamldoc"},
	"pilot/source/file":     {"pilot/model", "pilot/validate", "pilot/source/kinds", "pilot/source/lines", "spelling", "pilot/yamldoc", "pilot/jsontext"},
	"pilot/kubeclient":      {},
	"pilot/source/kube":     {"pilot/model", "pilot/kubeclient", "pilot/source/kinds", "pilot/source/file", "proto/seen"},
	"pilot/source/selected": {"pilot/model"},
	"pilot/store":           {"pilot/model", "pilot/ingress"},
	"pilot/ingress":         {"pilot/model"},
	"pilot/status":          {"pilot/model"},
	"pilot/ir":              {},
	"pilot/resolve":         {"pilot/model", "pilot/ir", "pilot/cel", "pilot/store", "proto/telemetry", "proto/httpfilter"},
	"pilot/endpoint":        {"pilot/model", "pilot/ir", "pilot/resolve", "proto/telemetry"},
	"pilot/envoy":           {"pilot/ir", "proto/nds", "proto/httpfilter"},
	"pilot/resource":        {"pilot/model", "proto/bootstrap", "proto/nds"},
	"pilot/build":           {"pilot/model", "pilot/ir", "pilot/resolve", "pilot/endpoint", "pilot/envoy", "pilot/patch", "pilot/store", "pilot/resource", "proto/bootstrap"},
	"pilot/inventory":       {"pilot/model", "pilot/resolve", "pilot/source/kinds", "pilot/inject"},
	"pilot/trace":           {},
	"pilot/push":            {"pilot/model", "pilot/resolve", "pilot/store", "pilot/resource", "pilot/build", "pilot/trace", "proto/bootstrap", "proto/seen", "proto/telemetry"},
	"pilot/xds":             {"pilot/resource", "pilot/push", "pilot/trace", "proto/seen", "proto/signer", "security/auth", "security/loglimit"},
	"pilot/incluster":       {"pilot/model", "pilot/ingress", "pilot/kubeclient", "pilot/source/kinds", "security/ca"},
	"pilot/webhook":         {"pilot/model", "pilot/inject", "pilot/source/file"},
	"pilot/inject":          {"pilot/model", "pilot/yamldoc"},
	"pilot/witness":         {},
	"pilot/authz":           {"pilot/ir", "pilot/witness", "proto/httpfilter"},
	"pilot/explain":         {"spelling", "pilot/authz", "pilot/ir", "pilot/witness", "proto/httpfilter"}, // it reads what was made, and knows nothing of why
	"pilot/analyze":         {"pilot/model", "pilot/inventory", "pilot/inject", "pilot/ir", "pilot/resolve", "pilot/validate", "pilot/source/kinds", "pilot/source/file", "pilot/source/lines", "pilot/source/selected", "pilot/store", "pilot/build", "pilot/resource", "pilot/patch", "spelling"},
}

func TestArrowsGoAlongTheFlow(t *testing.T) {
	for _, p := range packages(t) {
		allowed, ok := flow[p.short()]
		if !ok {
			continue
		}
		for _, imp := range p.Imports {
			short, ours := strings.CutPrefix(imp, module)
			if ours && !slices.Contains(allowed, short) && !within(short, p.short()) {
				t.Errorf("%s imports %s, which is not before it in the flow", p.short(), short)
			}
		}
	}
}

// never lists what a folder must not depend on, directly or through others.
var never = []struct{ folder, dep, why string }{
	{"agent", module + "pilot", "the agent is small and knows nothing of the control plane"},
	{"agent", "k8s.io", "the agent imports no Kubernetes client"},
	{"iptables", module + "pilot", "the rules know nothing of the control plane"},
	{"iptables", "k8s.io", "the rules know nothing of Kubernetes"},
	{"agent", "go.opentelemetry.io/otel", "weight"},
	{"ctl", "go.opentelemetry.io/otel", "weight"},
	{"pilot/discovery", "go.opentelemetry.io/otel", "the control plane shows its changes to whoever main names"},
	{"pilot/cmd/pilot-discovery", "helm.sh", "weight"},
	{"pilot/cmd/pilot-discovery", "github.com/google/cel-go", "weight"},
	{"pilot/cmd/pilot-discovery", "sigs.k8s.io/controller-runtime", "weight"},
	{"pilot/cmd/pilot-discovery", module + "localnode", "the control plane runs no workloads"},
	{"pilot/envoy", module + "pilot/model", "no decision is made in words of Envoy"},
	{"security", module + "pilot", "the CA knows nothing of configuration"},
}

func TestNobodyDependsOnWhatItMustNot(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range never {
			if !within(p.short(), rule.folder) {
				continue
			}
			for _, dep := range p.Deps {
				if within(dep, rule.dep) {
					t.Errorf("%s depends on %s: %s", p.short(), dep, rule.why)
				}
			}
		}
		for _, imp := range p.Imports {
			if within(imp, module+"test") && !within(p.short(), "test") {
				t.Errorf("%s imports %s: product code imports no test code", p.short(), imp)
			}
		}
	}
}

func TestOnlyMainPackagesReadFlagsAndEnvironment(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" || within(p.short(), "ctl") || within(p.short(), "test") || strings.HasSuffix(p.Name, "test") {
			continue
		}
		for _, imp := range p.Imports {
			if imp == "flag" || within(imp, "github.com/spf13") {
				t.Errorf("%s imports %s: only cmd packages read flags", p.short(), imp)
			}
		}
		inspect(t, p, func(pos token.Position, n ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "Args"}, sel.Sel.Name) {
				t.Errorf("%s: os.%s: only cmd packages read the environment", pos, sel.Sel.Name)
			}
		})
	}
}

func TestNoPackageHasInitSideEffects(t *testing.T) {
	for _, p := range packages(t) {
		inspect(t, p, func(pos token.Position, n ast.Node) {
			if f, ok := n.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init", pos)
			}
		})
	}
}

func TestEveryPackageTellsItsPartOfTheFlow(t *testing.T) {
	for _, p := range packages(t) {
		documented := len(p.GoFiles) == 0
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil
		}
		if !documented {
			t.Errorf("%s has no package comment", p.short())
		}
	}
}

// budgets of a file and a function, in lines; what is about right is less (400 and 60).
const fileBudget, functionBudget = 450, 80

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	for _, p := range packages(t) {
		inspect(t, p, func(pos token.Position, n ast.Node) {
			if f, ok := n.(*ast.File); ok && lines(p, f) > fileBudget {
				t.Errorf("%s has %d lines", pos.Filename, lines(p, f))
			}
			if f, ok := n.(*ast.FuncDecl); ok && lines(p, f) > functionBudget {
				t.Errorf("%s: %s has %d lines", pos, f.Name.Name, lines(p, f))
			}
		})
	}
}

// positions belongs to the test that walks the module; sets are kept by folder.
var positions = map[string]*token.FileSet{}

func lines(p *pkg, n ast.Node) int {
	set := positions[p.Dir]
	if f, ok := n.(*ast.File); ok {
		return set.File(f.Pos()).LineCount()
	}
	return set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1
}

// inspect visits every node of the package's files, generated ones left out.
func inspect(t *testing.T, p *pkg, visit func(pos token.Position, n ast.Node)) {
	t.Helper()
	set := token.NewFileSet()
	positions[p.Dir] = set
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(set.Position(n.Pos()), n)
			}
			return true
		})
	}
}
