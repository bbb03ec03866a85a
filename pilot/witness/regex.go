package witness

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

const (
	statesMost = 3000 // of a walk
	runesMost  = 24   // that a walk goes on with from a state
)

// expression writes a pattern as a regular expression.
func (p Pattern) expression() string {
	quoted := regexp.QuoteMeta(p.Value)
	if p.IgnoreCase && p.Kind != Regex {
		quoted = "(?i:" + quoted + ")"
	}
	switch p.Kind {
	case Prefix:
		return quoted + "(?s:.*)"
	case Suffix:
		return "(?s:.*)" + quoted
	case Contains:
		return "(?s:.*)" + quoted + "(?s:.*)"
	case Segments:
		return quoted + "(?s:/.*)?"
	case Regex:
		return p.Value
	}
	return quoted
}

// state is where the programs of all patterns are after a text.
type state struct {
	text string
	at   [][]uint32
}

// walk goes breadth first, so that the texts are short ones. It ends where a text was found for each set of patterns,
// and goes no further where none can be met any more.
func walk(patterns []Pattern, form Form) []string {
	programs := compiled(patterns)
	own := len(programs)
	if form.Expression != "" {
		programs = append(programs, compiled([]Pattern{{Kind: Regex, Value: form.Expression}})...)
	}
	first := state{}
	for _, prog := range programs {
		first.at = append(first.at, closure(prog, []uint32{uint32(prog.Start)}, true, false))
	}
	var out []string
	seen, met := map[string]bool{first.key(): true}, map[string]bool{}
	for queue := []state{first}; len(queue) > 0 && len(met) < 1<<own; queue = queue[1:] {
		s := queue[0]
		if m := s.met(programs[:own]); !met[m] && form.Valid(s.text) {
			met[m] = true
			out = append(out, s.text)
		}
		if s.lost(own) {
			continue
		}
		for _, r := range s.letters(programs, own) {
			next := s.after(programs, r)
			if key := next.key(); len(seen) < statesMost && !seen[key] {
				seen[key] = true
				queue = append(queue, next)
			}
		}
	}
	return out
}

// compiled gives the programs of patterns; what is no expression is met by nothing, and has none.
func compiled(patterns []Pattern) []*syntax.Prog {
	var out []*syntax.Prog
	for _, p := range patterns {
		re, err := syntax.Parse(p.expression(), syntax.Perl)
		if err != nil {
			continue
		}
		if prog, err := syntax.Compile(re.Simplify()); err == nil {
			out = append(out, prog)
		}
	}
	return out
}

// lost tells whether no further letters lead to a text of the form, or to one that meets any of the patterns.
func (s state) lost(own int) bool {
	ended := func(at []uint32) bool { return len(at) == 0 }
	return !slices.ContainsFunc(s.at[:own], func(at []uint32) bool { return !ended(at) }) || slices.ContainsFunc(s.at[own:], ended)
}

// after gives the state after one more letter.
func (s state) after(programs []*syntax.Prog, r rune) state {
	next := state{text: s.text + string(r)}
	for i, prog := range programs {
		var to []uint32
		for _, pc := range s.at[i] {
			if inst := &prog.Inst[pc]; consumes(inst) && inst.MatchRune(r) {
				to = append(to, inst.Out)
			}
		}
		next.at = append(next.at, closure(prog, to, false, false))
	}
	return next
}

// met tells of which programs the text is a match, as a key.
func (s state) met(programs []*syntax.Prog) string {
	out := make([]byte, len(programs))
	for i, prog := range programs {
		for _, pc := range closure(prog, s.at[i], s.text == "", true) {
			if prog.Inst[pc].Op == syntax.InstMatch {
				out[i] = 1
			}
		}
	}
	return string(out)
}

func (s state) key() string {
	var b strings.Builder
	for _, set := range s.at {
		for _, pc := range set {
			b.WriteByte(byte(pc >> 8))
			b.WriteByte(byte(pc))
		}
		b.WriteString("\xff\xff")
	}
	if s.text == "" {
		b.WriteString("^")
	}
	return b.String()
}

func consumes(inst *syntax.Inst) bool {
	switch inst.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	return false
}

// closure gives what is reached without a letter. Boundaries of words are taken to be anywhere: who gets a text tries it.
func closure(prog *syntax.Prog, from []uint32, begin, end bool) []uint32 {
	seen := make([]bool, len(prog.Inst))
	var out []uint32
	var visit func(pc uint32)
	visit = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		out = append(out, pc)
		switch inst := &prog.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			visit(inst.Out)
			visit(inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			visit(inst.Out)
		case syntax.InstEmptyWidth:
			needs := syntax.EmptyOp(inst.Arg)
			if needs&(syntax.EmptyBeginText|syntax.EmptyBeginLine) != 0 && !begin || needs&(syntax.EmptyEndText|syntax.EmptyEndLine) != 0 && !end {
				return
			}
			visit(inst.Out)
		}
	}
	for _, pc := range from {
		visit(pc)
	}
	slices.Sort(out)
	return out
}

// letters gives those that the programs tell apart where they are, some that they do not name, and some of the form,
// which is what comes after the first programs.
func (s state) letters(programs []*syntax.Prog, own int) []rune {
	var out []rune
	for i, prog := range programs {
		if i == own {
			out = append(out, 'a', 'z', '0', '/', '-')
		}
		for _, pc := range s.at[i] {
			if inst := &prog.Inst[pc]; inst.Op == syntax.InstRune || inst.Op == syntax.InstRune1 {
				out = append(out, apart(inst, i < own)...)
			}
		}
	}
	if own == len(programs) {
		out = append(out, 'a', 'z', '0', '/', '-')
	}
	printable := func(r rune) bool { return r > ' ' && r < 0x7f }
	seen := map[rune]bool{}
	out = slices.DeleteFunc(out, func(r rune) bool {
		bad := !printable(r) || seen[r]
		seen[r] = true
		return bad
	})
	return out[:min(len(out), runesMost)]
}

// apart gives letters that an instruction takes, and, with beside, the next ones that it does not.
func apart(inst *syntax.Inst, beside bool) []rune {
	var out []rune
	for _, r := range inst.Rune {
		out = append(out, r)
		if beside && inst.Op == syntax.InstRune && len(inst.Rune) > 1 {
			out = append(out, r-1, r+1)
		}
		if syntax.Flags(inst.Arg)&syntax.FoldCase != 0 {
			out = append(out, []rune(strings.ToUpper(string(r)))...)
		}
	}
	return out
}
