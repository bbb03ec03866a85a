package cel

import (
	"fmt"
	"slices"
)

// The bounds of an expression: its length in bytes, and how deep it may be. Envoy takes a depth of 32.
const (
	maxLength = 4 << 10
	maxDepth  = 24
)

// reserved are names that are none (Common Expression Language, "Syntax").
var reserved = []string{
	"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
	"namespace", "return", "var", "void", "while",
}

// operators are those with two sides, by how strongly they bind.
var operators = [][]string{
	{"||"}, {"&&"}, {"<", "<=", ">=", ">", "==", "!=", "in"}, {"+", "-"}, {"*", "/", "%"},
}

// parser is a recursive descent over the language's grammar. Each method gives the depth of what it has read.
type parser struct {
	tokens []token
	nested int // how deep it is in brackets, which bounds its own stack
	out    *Expression
}

func (p *parser) next() token { return p.tokens[0] }

// take takes the next token if it is this punctuation.
func (p *parser) take(text string) bool {
	if t := p.next(); t.kind != tokenPunct || t.text != text {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) expect(text string) error {
	if !p.take(text) {
		return p.fail(text + " is missing")
	}
	return nil
}

func (p *parser) fail(reason string) error {
	t := p.next()
	if t.kind == tokenEnd {
		return fmt.Errorf("at its end: %s", reason)
	}
	return fmt.Errorf("at %d, before %s: %s", t.at+1, t.text, reason)
}

// deeper checks the depth of what is one level above others.
func (p *parser) deeper(depths ...int) (int, error) {
	depth := slices.Max(depths) + 1
	if depth > maxDepth {
		return 0, p.fail(fmt.Sprintf("it is nested deeper than %d levels", maxDepth))
	}
	return depth, nil
}

// expression reads a choice, or what binds stronger.
func (p *parser) expression() (int, error) {
	if p.nested++; p.nested > maxDepth {
		_, err := p.deeper(p.nested)
		return 0, err
	}
	defer func() { p.nested-- }()
	condition, err := p.binary(0)
	if err != nil || !p.take("?") {
		return condition, err
	}
	yes, err := p.binary(0)
	if err != nil {
		return 0, err
	}
	if err = p.expect(":"); err != nil {
		return 0, err
	}
	no, err := p.expression()
	if err != nil {
		return 0, err
	}
	return p.deeper(condition, yes, no)
}

// binary reads the operators from a level on.
func (p *parser) binary(level int) (int, error) {
	if level == len(operators) {
		return p.unary()
	}
	depth, err := p.binary(level + 1)
	for err == nil && p.next().kind == tokenPunct && slices.Contains(operators[level], p.next().text) {
		p.tokens = p.tokens[1:]
		var right int
		if right, err = p.binary(level + 1); err == nil {
			depth, err = p.deeper(depth, right)
		}
	}
	return depth, err
}

func (p *parser) unary() (int, error) {
	for _, sign := range []string{"!", "-"} {
		if p.take(sign) {
			signs := 1
			for p.take(sign) {
				signs++
			}
			if signs > maxDepth {
				return 0, p.fail("there are too many signs")
			}
			if p.next().text == "!" || p.next().text == "-" {
				return 0, p.fail("signs are mixed; write brackets")
			}
			depth, err := p.member()
			if err != nil {
				return 0, err
			}
			return p.deeper(depth + signs - 1)
		}
	}
	return p.member()
}

// member reads a value, and what is selected of it.
func (p *parser) member() (int, error) {
	depth, err := p.primary()
	for err == nil {
		switch {
		case p.take("."):
			depth, err = p.selected(depth)
		case p.take("["):
			var index int
			if index, err = p.expression(); err == nil {
				err = p.expect("]")
			}
			if err == nil {
				p.out.selected = false
				depth, err = p.deeper(depth, index)
			}
		case p.next().text == "{" && p.next().kind == tokenPunct:
			return 0, p.fail("messages cannot be made")
		default:
			return depth, nil
		}
	}
	return 0, err
}

// selected reads a field's name, or the call of a method.
func (p *parser) selected(depth int) (int, error) {
	field := p.next()
	if field.kind != tokenName || slices.Contains(literals, field.text) {
		return 0, p.fail("the name of a field is missing")
	}
	p.tokens = p.tokens[1:]
	if !p.take("(") {
		depth, err := p.deeper(depth)
		p.out.selected = true
		return depth, err
	}
	arguments, err := p.arguments(")")
	if err != nil {
		return 0, err
	}
	p.out.call(field.text, true, arguments)
	return p.deeper(append(depths(arguments), depth)...)
}

// literals are names of values.
var literals = []string{"true", "false", "null"}

func (p *parser) primary() (int, error) {
	t := p.next()
	p.out.selected, p.out.literal = false, nil
	switch {
	case t.kind == tokenNumber || t.kind == tokenText || t.kind == tokenName && slices.Contains(literals, t.text):
		p.tokens = p.tokens[1:]
		if t.kind == tokenText {
			p.out.literal = &t.value
		}
		return 1, nil
	case p.take("("):
		depth, err := p.expression()
		if err == nil {
			err = p.expect(")")
		}
		return depth, err
	case p.take("["):
		items, err := p.arguments("]")
		if err != nil {
			return 0, err
		}
		return p.deeper(append(depths(items), 0)...)
	case p.take("{"):
		return p.entries()
	case p.take("."):
		t = p.next()
	}
	if t.kind != tokenName || slices.Contains(literals, t.text) {
		return 0, p.fail("a value is missing")
	}
	if slices.Contains(reserved, t.text) {
		return 0, p.fail("the name is reserved")
	}
	p.tokens = p.tokens[1:]
	if !p.take("(") {
		p.out.name(t.text)
		return 1, nil
	}
	return p.function(t.text)
}

// function reads the arguments of one, of which has is a form of the language.
func (p *parser) function(name string) (int, error) {
	arguments, err := p.arguments(")")
	if err != nil {
		return 0, err
	}
	if name == "has" {
		if len(arguments) != 1 || !arguments[0].selected {
			return 0, p.fail("has() takes one field, as in has(request.referer)")
		}
	} else {
		p.out.call(name, false, arguments)
	}
	return p.deeper(append(depths(arguments), 0)...)
}

// argument is one that was read.
type argument struct {
	depth    int
	selected bool    // it is a field of something
	literal  *string // the text that it is, nil for anything else
}

func depths(arguments []argument) []int {
	var out []int
	for _, a := range arguments {
		out = append(out, a.depth)
	}
	return out
}

// arguments reads a list to its end; that of a list's items may have a comma before it.
func (p *parser) arguments(end string) ([]argument, error) {
	var out []argument
	for !p.take(end) {
		if len(out) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if end == "]" && p.take(end) {
				break
			}
		}
		before := len(p.tokens)
		depth, err := p.expression()
		if err != nil {
			return nil, err
		}
		a := argument{depth: depth, selected: p.out.selected}
		if before-len(p.tokens) == 1 {
			a.literal = p.out.literal
		}
		out = append(out, a)
	}
	p.out.selected = false
	return out, nil
}

// entries reads those of a map.
func (p *parser) entries() (int, error) {
	depth := 0
	for first := true; !p.take("}"); first = false {
		if !first {
			if err := p.expect(","); err != nil {
				return 0, err
			}
			if p.take("}") {
				break
			}
		}
		key, err := p.expression()
		if err == nil {
			err = p.expect(":")
		}
		var value int
		if err == nil {
			value, err = p.expression()
		}
		if err != nil {
			return 0, err
		}
		depth = max(depth, key, value)
	}
	p.out.selected = false
	return p.deeper(depth)
}
