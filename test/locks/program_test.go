package locks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/callgraph/vta"
	"golang.org/x/tools/go/ssa"
)

const module = "github.com/pilothouse-mesh/pilothouse/"

// program is the code of this repository in single static assignment form, with who calls whom. Of other modules,
// and of the standard library, it has the declarations.
type program struct {
	fset      *token.FileSet
	functions map[*ssa.Function]bool
	calls     map[ssa.CallInstruction][]*ssa.Function
}

// listed is what `go list` tells of one package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// load reads the packages that patterns name, and those of this module on which they depend and that ours chooses.
func load(t *testing.T, ours func(path string) bool, patterns ...string) *program {
	t.Helper()
	l := &loader{fset: token.NewFileSet(), checked: map[string]*types.Package{}, exports: map[string]string{}, created: map[*types.Package]bool{}}
	l.program = ssa.NewProgram(l.fset, ssa.InstantiateGenerics)
	l.others = importer.ForCompiler(l.fset, "gc", l.open)
	for _, p := range list(t, patterns) { // what a package imports comes before it
		l.exports[p.ImportPath] = p.Export
		if !ours(p.ImportPath) {
			continue
		}
		if err := l.add(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, create := range l.create {
		create()
	}
	l.program.Build()
	all := functionsOf(l.program)
	return &program{fset: l.fset, functions: all, calls: callees(vta.CallGraph(all, nil))}
}

func list(t *testing.T, patterns []string) []listed {
	t.Helper()
	args := append([]string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles"}, patterns...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// loader checks packages from their source, and imports the others as they were compiled.
type loader struct {
	fset    *token.FileSet
	program *ssa.Program
	others  types.Importer
	checked map[string]*types.Package
	exports map[string]string
	created map[*types.Package]bool
	create  []func()
}

func (l *loader) open(path string) (io.ReadCloser, error) { return os.Open(l.exports[path]) }

// Import implements types.Importer.
func (l *loader) Import(path string) (*types.Package, error) {
	if p := l.checked[path]; p != nil {
		return p, nil
	}
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	return l.others.Import(path)
}

func (l *loader) add(p listed) error {
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Instances: map[*ast.Ident]types.Instance{}, Scopes: map[ast.Node]*types.Scope{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, FileVersions: map[*ast.File]string{},
	}
	pkg, err := (&types.Config{Importer: l, Sizes: types.SizesFor("gc", "amd64")}).Check(p.ImportPath, l.fset, files, info)
	if err != nil {
		return fmt.Errorf("%s: %w", p.ImportPath, err)
	}
	l.checked[p.ImportPath] = pkg
	l.created[pkg] = true
	l.create = append(l.create, func() {
		l.declare(pkg.Imports()) // of which not all is known before all packages are checked
		l.program.CreatePackage(pkg, files, info, true)
	})
	return nil
}

// declare makes packages known of which there is no source, and all that they name.
func (l *loader) declare(all []*types.Package) {
	for _, p := range all {
		if !l.created[p] {
			l.created[p] = true
			l.program.CreatePackage(p, nil, nil, true)
			l.declare(p.Imports())
		}
	}
}

// functionsOf gives all functions and methods with those that stand in them.
func functionsOf(program *ssa.Program) map[*ssa.Function]bool {
	all := map[*ssa.Function]bool{}
	var add func(*ssa.Function)
	add = func(f *ssa.Function) {
		if f == nil || all[f] {
			return
		}
		all[f] = true
		for _, b := range f.Blocks {
			for _, instr := range b.Instrs {
				for _, operand := range instr.Operands(nil) {
					if named, ok := (*operand).(*ssa.Function); ok {
						add(named)
					}
				}
			}
		}
	}
	methods := func(of types.Type) {
		if types.IsInterface(of) {
			return
		}
		for sel := range program.MethodSets.MethodSet(of).Methods() {
			if sel.Obj().(*types.Func).Signature().TypeParams() == nil {
				add(program.MethodValue(sel))
			}
		}
	}
	for _, p := range program.AllPackages() {
		if !strings.HasPrefix(p.Pkg.Path(), module) {
			continue
		}
		for _, member := range p.Members {
			switch m := member.(type) {
			case *ssa.Function:
				if m.TypeParams().Len() == 0 {
					add(m)
				}
			case *ssa.Type:
				if named, ok := m.Type().(*types.Named); ok && named.TypeParams().Len() == 0 {
					methods(named)
					methods(types.NewPointer(named))
				}
			}
		}
	}
	for _, of := range program.RuntimeTypes() {
		methods(of)
	}
	return all
}

// callees gives whom each call may reach.
func callees(g *callgraph.Graph) map[ssa.CallInstruction][]*ssa.Function {
	out := map[ssa.CallInstruction][]*ssa.Function{}
	for _, n := range g.Nodes {
		for _, e := range n.Out {
			out[e.Site] = append(out[e.Site], e.Callee.Func)
		}
	}
	return out
}
