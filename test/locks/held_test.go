package locks

import (
	"go/token"
	"go/types"
	"maps"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// lock is a mutex, a sync.Once or a semaphore, by the field or variable that it is: all of one field count as one.
type lock string

// set is some locks.
type set map[lock]bool

// moment is one at which a function does something that matters while it holds locks.
type moment struct {
	at   token.Pos
	held set
	// takes is the lock that it takes; waits says what it waits for; calls are those that it calls. One of them is
	// there.
	takes lock
	waits string
	calls []*ssa.Function
}

// state is which locks are held at a place in a function, and which of them until it returns.
type state struct{ held, toTheEnd set }

func (s state) clone() state { return state{maps.Clone(s.held), maps.Clone(s.toTheEnd)} }

// join adds what is held on another way to the same place, and tells whether that is more.
func (s state) join(o state) bool {
	before := len(s.held) + len(s.toTheEnd)
	maps.Copy(s.held, o.held)
	maps.Copy(s.toTheEnd, o.toTheEnd)
	return len(s.held)+len(s.toTheEnd) > before
}

// moments walks through a function on all ways.
func (p *program) moments(f *ssa.Function) []moment {
	if len(f.Blocks) == 0 {
		return nil
	}
	w := &walk{program: p, owner: f, joins: joinsGoroutines(f)}
	in := map[*ssa.BasicBlock]state{f.Blocks[0]: {set{}, set{}}}
	for todo := []*ssa.BasicBlock{f.Blocks[0]}; len(todo) > 0; {
		b := todo[0]
		todo = todo[1:]
		w.state, w.found = in[b].clone(), nil
		for _, instr := range b.Instrs {
			w.step(instr)
		}
		for _, next := range b.Succs {
			if known, ok := in[next]; !ok {
				in[next] = w.state.clone()
				todo = append(todo, next)
			} else if known.join(w.state) {
				todo = append(todo, next)
			}
		}
	}
	var out []moment
	for _, b := range f.Blocks {
		if known, ok := in[b]; ok {
			w.state, w.found = known.clone(), nil
			for _, instr := range b.Instrs {
				w.step(instr)
			}
			out = append(out, w.found...)
		}
	}
	return out
}

// walk is where in a function we are.
type walk struct {
	*program
	owner *ssa.Function
	joins bool // it waits for goroutines that it has started
	state state
	found []moment
}

func (w *walk) note(m moment, held set) {
	m.held = maps.Clone(held)
	w.found = append(w.found, m)
}

func (w *walk) step(instr ssa.Instruction) {
	switch i := instr.(type) {
	case *ssa.Send:
		w.note(moment{at: i.Pos(), waits: "a channel takes a value"}, w.state.held)
	case *ssa.UnOp:
		if i.Op == token.ARROW {
			w.note(moment{at: i.Pos(), waits: "a channel gives a value"}, w.state.held)
		}
	case *ssa.Select:
		if i.Blocking {
			w.note(moment{at: i.Pos(), waits: "one of some channels"}, w.state.held)
		}
	case *ssa.Defer:
		w.call(i, true)
	case *ssa.Call:
		w.call(i, false)
	}
}

// call takes a call, or one that is put off until the function returns: then what is held is what is released later.
func (w *walk) call(site ssa.CallInstruction, deferred bool) {
	held := w.state.held
	if deferred {
		held = w.state.toTheEnd
	}
	common, at := site.Common(), site.Pos()
	switch name := nameOf(common); name {
	case "(*sync.Mutex).Lock", "(*sync.RWMutex).Lock", "(*sync.RWMutex).RLock", "(*golang.org/x/sync/semaphore.Weighted).Acquire":
		l := w.lockOf(common.Args[0])
		w.note(moment{at: at, takes: l}, held)
		w.state.held[l] = true
	case "(*sync.Mutex).Unlock", "(*sync.RWMutex).Unlock", "(*sync.RWMutex).RUnlock", "(*golang.org/x/sync/semaphore.Weighted).Release":
		if l := w.lockOf(common.Args[0]); deferred {
			w.state.toTheEnd[l] = true
		} else {
			delete(w.state.held, l)
		}
	case "(*sync.Once).Do":
		l := w.lockOf(common.Args[0])
		w.note(moment{at: at, takes: l}, held)
		within := maps.Clone(held)
		within[l] = true
		w.note(moment{at: at, calls: functionsIn(common.Args[1:])}, within)
	default:
		inside := w.inside(site)
		if what := waiting(name); what != "" {
			w.note(moment{at: at, waits: what}, held)
		} else if len(inside) == 0 && byContext(common, name) {
			w.note(moment{at: at, waits: name}, held)
		}
		if len(inside) == 0 && (!starts(name) || w.joins && strings.HasSuffix(name, "Group).Go")) {
			inside = functionsIn(common.Args) // which another module runs
		}
		w.note(moment{at: at, calls: inside}, held)
	}
}

// inside gives the functions of this module that a call reaches.
func (w *walk) inside(site ssa.CallInstruction) []*ssa.Function {
	var out []*ssa.Function
	for _, f := range w.calls[site] {
		if len(f.Blocks) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// functionsIn gives the functions that stand among arguments.
func functionsIn(args []ssa.Value) []*ssa.Function {
	var out []*ssa.Function
	for _, a := range args {
		for {
			if c, ok := a.(*ssa.ChangeType); ok {
				a = c.X
				continue
			}
			break
		}
		switch v := a.(type) {
		case *ssa.Function:
			out = append(out, v)
		case *ssa.MakeClosure:
			out = append(out, v.Fn.(*ssa.Function))
		}
	}
	return out
}

// nameOf names the function or the interface's method that is called; "" for a value.
func nameOf(c *ssa.CallCommon) string {
	if c.IsInvoke() {
		return c.Method.FullName()
	}
	if f := c.StaticCallee(); f != nil {
		if f.Origin() != nil {
			f = f.Origin()
		}
		if f.Object() != nil {
			return f.Object().(*types.Func).FullName()
		}
	}
	return ""
}

// joinsGoroutines tells whether a function waits for goroutines.
func joinsGoroutines(f *ssa.Function) bool {
	for _, b := range f.Blocks {
		for _, instr := range b.Instrs {
			if c, ok := instr.(ssa.CallInstruction); ok && strings.HasSuffix(nameOf(c.Common()), "Group).Wait") {
				return true
			}
		}
	}
	return false
}

// lockOf names the mutex at an address.
func (w *walk) lockOf(v ssa.Value) lock {
	switch a := v.(type) {
	case *ssa.FieldAddr:
		of := a.X.Type().Underlying().(*types.Pointer).Elem()
		return lock(shortName(of) + "." + of.Underlying().(*types.Struct).Field(a.Field).Name())
	case *ssa.UnOp: // a pointer in a field
		return w.lockOf(a.X)
	case *ssa.Global:
		return lock(strings.TrimPrefix(a.String(), module))
	case *ssa.Alloc:
		return local(w.owner, a.Comment)
	case *ssa.FreeVar:
		return local(w.owner, a.Name())
	}
	return local(w.owner, v.Name())
}

// local names a variable of a function, or of the one that a closure stands in.
func local(f *ssa.Function, name string) lock {
	for f.Parent() != nil {
		f = f.Parent()
	}
	return lock(strings.ReplaceAll(f.String(), module, "") + " " + name)
}

// shortName names a type without what it is made for.
func shortName(t types.Type) string {
	name := t.String()
	if named, ok := types.Unalias(t).(*types.Named); ok {
		name = named.Origin().Obj().Pkg().Path() + "." + named.Obj().Name()
	}
	return strings.TrimPrefix(name, module)
}
