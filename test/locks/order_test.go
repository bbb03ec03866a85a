package locks

import (
	"fmt"
	"go/token"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// effect is what becomes of calling a function: a lock that is taken in it, or something that is waited for.
type effect struct {
	takes lock
	waits string
}

// cause is where an effect comes from: a place in the function itself, or one that it calls there.
type cause struct {
	at  token.Pos
	via *ssa.Function // nil for itself
}

// analysis is what all functions do to locks.
type analysis struct {
	*program
	moments map[*ssa.Function][]moment
	effects map[*ssa.Function]map[effect]cause
}

func analyze(p *program) *analysis {
	a := &analysis{program: p, moments: map[*ssa.Function][]moment{}, effects: map[*ssa.Function]map[effect]cause{}}
	callers := map[*ssa.Function][]*ssa.Function{}
	var todo []*ssa.Function
	for f := range p.functions {
		a.moments[f], a.effects[f] = p.moments(f), map[effect]cause{}
		todo = append(todo, f)
		for _, m := range a.moments[f] {
			for _, c := range m.calls {
				callers[c] = append(callers[c], f)
			}
		}
	}
	for len(todo) > 0 {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if a.spread(f) {
			todo = append(todo, callers[f]...)
		}
	}
	return a
}

// spread gives a function the effects of what it does and calls, and tells whether these are more.
func (a *analysis) spread(f *ssa.Function) bool {
	before := len(a.effects[f])
	add := func(e effect, c cause) {
		if _, known := a.effects[f][e]; !known {
			a.effects[f][e] = c
		}
	}
	for _, m := range a.moments[f] {
		if m.takes != "" || m.waits != "" {
			add(effect{m.takes, m.waits}, cause{at: m.at})
		}
		for _, callee := range m.calls {
			for e := range a.effects[callee] {
				add(e, cause{m.at, callee})
			}
		}
	}
	return len(a.effects[f]) > before
}

// step is that something happens while a lock is held.
type step struct {
	held lock
	effect
}

// steps gives all, each with one way in which it comes about.
func (a *analysis) steps() map[step]string {
	out := map[step]string{}
	note := func(f *ssa.Function, m moment, e effect, via *ssa.Function) {
		for held := range m.held {
			s := step{held, e}
			if text := a.way(f, m.at, via, e); out[s] == "" || text < out[s] {
				out[s] = text
			}
		}
	}
	for f, all := range a.moments {
		for _, m := range all {
			if len(m.held) == 0 {
				continue
			}
			if m.takes != "" || m.waits != "" {
				note(f, m, effect{m.takes, m.waits}, nil)
			}
			for _, callee := range m.calls {
				for e := range a.effects[callee] {
					note(f, m, e, callee)
				}
			}
		}
	}
	return out
}

// way tells how a function comes to an effect.
func (a *analysis) way(f *ssa.Function, at token.Pos, via *ssa.Function, e effect) string {
	out := []string{a.place(f, at)}
	for via != nil {
		c := a.effects[via][e]
		out = append(out, a.place(via, c.at))
		via = c.via
	}
	return strings.Join(out, "\n      calls ")
}

func (a *analysis) place(f *ssa.Function, at token.Pos) string {
	where := a.fset.Position(at)
	file := where.Filename
	if i := strings.LastIndex(file, "/"); i >= 0 {
		file = file[i+1:]
	}
	return fmt.Sprintf("%s (%s:%d)", strings.ReplaceAll(f.String(), module, ""), file, where.Line)
}

// circles gives the locks of which one is taken under another and that under the first, in groups.
func circles(after map[lock]set) [][]lock {
	reach := map[lock]set{}
	for l := range after {
		seen := set{}
		for todo := []lock{l}; len(todo) > 0; {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for next := range after[at] {
				if !seen[next] {
					seen[next] = true
					todo = append(todo, next)
				}
			}
		}
		reach[l] = seen
	}
	var out [][]lock
	done := set{}
	for _, l := range slices.Sorted(maps.Keys(reach)) {
		if done[l] || !reach[l][l] {
			continue
		}
		group := []lock{l}
		for other := range reach[l] {
			if other != l && reach[other][l] {
				group = append(group, other)
			}
		}
		slices.Sort(group)
		for _, member := range group {
			done[member] = true
		}
		out = append(out, group)
	}
	return out
}
