// Package cel reads expressions of the Common Expression Language as users write them in Telemetry objects,
// and tells which of them Envoy takes. Envoy refuses the whole listener for an expression that it does not
// take, so what passes here has to pass there. The package reads the whole language but for messages. Of
// functions, Envoy 1.40 has the standard ones without conversions to strings, and without macros that go over
// lists. A library would take others, and would weigh more than the rest of the control plane.
package cel

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Expression is one that is written as the language asks for.
type Expression struct {
	tokens []token
	// unsupported says what Envoy does not have, "" for nothing.
	unsupported string

	selected bool    // the last value that was read is a field
	literal  *string // the last value that was read, if it is a text
}

// Parse reads an expression. The error says where it breaks the rules of the language.
func Parse(text string) (*Expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New("is empty")
	case len(text) > maxLength:
		return nil, fmt.Errorf("has more than %d bytes", maxLength)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, errors.New("is no text")
	}
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: all, out: &Expression{tokens: all[:len(all)-1]}}
	if _, err := p.expression(); err != nil {
		return nil, err
	}
	if p.next().kind != tokenEnd {
		return nil, p.fail("an operator is missing")
	}
	return p.out, nil
}

// ParseValue reads an expression whose value is written as text. A conversion of the whole to a string, which
// Envoy does not have, is left out.
func ParseValue(text string) (*Expression, error) {
	e, err := Parse(text)
	if err != nil || !e.isConverted() {
		return e, err
	}
	return Parse(text[e.tokens[2].at:e.tokens[len(e.tokens)-1].at])
}

// Unsupported says what of an expression Envoy cannot evaluate, "" for nothing.
func (e *Expression) Unsupported() string { return e.unsupported }

// Format gives the command operator of Envoy's formats with an expression's value as text. Such an operator
// ends with the first ")%", so spaces stand between all tokens, and texts have escapes.
func (e *Expression) Format() string {
	words := make([]string, len(e.tokens))
	for i, t := range e.tokens {
		words[i] = t.text
		if t.kind == tokenText && strings.ContainsAny(t.text, "%\n\r") {
			words[i] = quotedAgain(t)
		}
	}
	return "%CEL(" + strings.Join(words, " ") + ")%"
}

// quotedAgain writes a text on one line and without percent signs.
func quotedAgain(t token) string {
	prefix := ""
	if t.text[0] == 'b' || t.text[0] == 'B' {
		prefix = "b"
	}
	return prefix + `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", `\x25`, "\n", `\n`, "\r", `\r`, "\a", `\a`, "\b", `\b`,
		"\f", `\f`, "\t", `\t`, "\v", `\v`).Replace(t.value) + `"`
}

// isConverted tells whether the whole is string(...).
func (e *Expression) isConverted() bool {
	if len(e.tokens) < 4 || e.tokens[0].text != "string" || e.tokens[1].text != "(" {
		return false
	}
	open := 0
	for i, t := range e.tokens {
		switch {
		case t.kind != tokenPunct:
		case t.text == "(":
			open++
		case t.text == ")":
			if open--; open == 0 {
				return i == len(e.tokens)-1
			}
		}
	}
	return false
}

// attributes are the names that Envoy gives values, and those of the language's types.
var attributes = []string{
	"request", "response", "connection", "upstream", "source", "destination", "metadata", "filter_state", "upstream_filter_state", "xds",
	"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint",
}

func (e *Expression) refuse(reason string) {
	if e.unsupported == "" {
		e.unsupported = reason
	}
}

func (e *Expression) name(name string) {
	if !slices.Contains(attributes, name) {
		e.refuse(name + " is no attribute of Envoy's; there are " + strings.Join(attributes[:10], ", "))
	}
}

// The functions that Envoy has, with the least and the most of their arguments.
var (
	functions = map[string][2]int{
		"size": {1, 1}, "matches": {2, 2}, "contains": {2, 2}, "startsWith": {2, 2}, "endsWith": {2, 2},
		"int": {1, 1}, "uint": {1, 1}, "double": {1, 1}, "bool": {1, 1}, "bytes": {1, 1}, "dyn": {1, 1}, "type": {1, 1},
		"duration": {1, 1}, "timestamp": {1, 1},
	}
	methods = map[string][2]int{
		"size": {0, 0}, "matches": {1, 1}, "contains": {1, 1}, "startsWith": {1, 1}, "endsWith": {1, 1},
		"getFullYear": {0, 1}, "getMonth": {0, 1}, "getDayOfMonth": {0, 1}, "getDate": {0, 1}, "getDayOfWeek": {0, 1},
		"getDayOfYear": {0, 1}, "getHours": {0, 1}, "getMinutes": {0, 1}, "getSeconds": {0, 1}, "getMilliseconds": {0, 1},
	}
)

// call notes the call of a function, or of a method.
func (e *Expression) call(name string, method bool, arguments []argument) {
	table := functions
	if method {
		table = methods
	}
	n, known := table[name]
	switch {
	case !known:
		e.refuse("Envoy has no function " + name + "() here")
	case len(arguments) < n[0] || len(arguments) > n[1]:
		e.refuse(fmt.Sprintf("%s() does not take %d arguments", name, len(arguments)))
	case name == "matches":
		if pattern := arguments[len(arguments)-1].literal; pattern != nil {
			e.pattern(*pattern)
		}
	}
}

// maxPattern bounds the program of a regular expression. Envoy takes 100 instructions.
const maxPattern = 80

func (e *Expression) pattern(text string) {
	switch parsed, err := syntax.Parse(text, syntax.Perl); {
	case err != nil:
		e.refuse("it has no regular expression of RE2 (" + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + ")")
	case model.ForeignEscape(text, unicode.MaxRune) != "":
		e.refuse("its regular expression has " + model.ForeignEscape(text, unicode.MaxRune) + ", which Envoy does not know")
	case programSize(parsed) > maxPattern:
		e.refuse("its regular expression is too long for Envoy, which takes a hundred steps")
	}
}

// programSize estimates from above how many instructions RE2 makes of an expression over bytes.
func programSize(re *syntax.Regexp) int {
	size := 2
	switch re.Op {
	case syntax.OpLiteral:
		size = 0
		for _, r := range re.Rune {
			if n := utf8.RuneLen(r); n > 1 && re.Flags&syntax.FoldCase != 0 {
				size += 2*n + 1
			} else {
				size += n
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		size = 12
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if size++; re.Rune[i+1] >= utf8.RuneSelf {
				size += 6
			}
		}
	}
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min+1, re.Max, 1)
	}
	return min(size, 1<<20)
}
