package operator

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// step is one element of a path: a field of a mapping, or an item of a list.
type step struct {
	text string // as it is written, for errors
	item bool
	name string // of the field; for an item the value that is looked for
	key  string // of an item that is a mapping, which has value under this key
	// value under key.
	value string
	// index of an item, last for one after the last; nil where items are not counted.
	index *int
}

// last is the index by which an item is added at the end.
const last = -1

// parsePath takes a path apart, as https://istio.io/latest/docs/setup/additional-setup/customize-installation/
// has it: fields between dots, and items of lists in brackets: [INDEX], [KEY:VALUE], [VALUE] and [:VALUE]. A
// backslash before a dot, a colon, a bracket or a backslash takes its meaning away.
func parsePath(path string) ([]step, error) {
	var out []step
	for rest := path; rest != ""; {
		if rest[0] == '.' {
			rest = rest[1:]
			continue
		}
		read := readField
		if rest[0] == '[' {
			read = readItem
		}
		s, after, err := read(rest)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, s), after
	}
	if len(out) == 0 {
		return nil, errors.New("it is empty")
	}
	return out, nil
}

// special are the characters that a backslash makes ordinary ones.
const special = `.:[]\`

// readRune gives the first character and what follows it, and whether it is an ordinary one in any case.
func readRune(text string) (r rune, rest string, plain bool) {
	if text[0] == '\\' && len(text) > 1 && strings.IndexByte(special, text[1]) >= 0 {
		return rune(text[1]), text[2:], true
	}
	r, n := utf8.DecodeRuneInString(text)
	return r, text[n:], false
}

// readField reads the name of a field, up to a dot or a bracket.
func readField(text string) (step, string, error) {
	var name strings.Builder
	rest := text
	for rest != "" {
		r, after, plain := readRune(rest)
		if !plain && (r == '.' || r == '[') {
			break
		}
		if !plain && r == ']' {
			return step{}, "", fmt.Errorf("the bracket that %q closes is not open", text[:len(text)-len(after)])
		}
		name.WriteRune(r)
		rest = after
	}
	return step{text: text[:len(text)-len(rest)], name: name.String()}, rest, nil
}

// readItem reads what is in brackets. Brackets within them belong to a regular expression.
func readItem(text string) (step, string, error) {
	var said strings.Builder
	depth, colon := 0, -1
	for rest := text[1:]; rest != ""; {
		r, after, plain := readRune(rest)
		switch {
		case plain:
		case r == '[':
			depth++
		case r == ']' && depth > 0:
			depth--
		case r == ']':
			s, err := item(text[:len(text)-len(after)], said.String(), colon)
			if err == nil && after != "" && after[0] != '.' && after[0] != '[' {
				err = fmt.Errorf("a dot has to follow %s", s.text)
			}
			return s, after, err
		case r == ':' && colon < 0:
			colon = said.Len()
		}
		said.WriteRune(r)
		rest = after
	}
	return step{}, "", fmt.Errorf("the bracket of %q is not closed", text)
}

// item gives the step of what is said in brackets, with its first colon.
func item(text, said string, colon int) (step, error) {
	s := step{text: text, item: true, name: said}
	switch {
	case said == "" || said == ":" && colon == 0:
		return s, fmt.Errorf("%s says no item", text)
	case colon == 0:
		s.name = said[1:]
	case colon > 0:
		s.key, s.value = said[:colon], said[colon+1:]
	default:
		if n, err := strconv.Atoi(said); err == nil && n >= last {
			s.index = &n
		}
	}
	return s, nil
}

// find gives the index of the item that is meant, and last where one is to be added.
func (s step) find(list []any) (int, error) {
	if s.index != nil {
		if *s.index >= len(list) {
			return last, nil
		}
		return *s.index, nil
	}
	at := slices.IndexFunc(list, s.is)
	if at >= 0 {
		return at, nil
	}
	pattern, err := regexp.Compile(s.name)
	if err != nil {
		return 0, fmt.Errorf("no item is %s, which is no regular expression either: %w", s.name, err)
	}
	at = slices.IndexFunc(list, func(v any) bool {
		text, simple := scalar(v)
		return simple && pattern.MatchString(text)
	})
	if at < 0 {
		return 0, fmt.Errorf("there is no item %s", s.text)
	}
	return at, nil
}

// is tells whether an item of a list is exactly the one that is meant.
func (s step) is(v any) bool {
	want := s.name
	if m, ok := v.(map[string]any); ok {
		if s.key == "" {
			return false
		}
		v, want = m[s.key], s.value
	}
	text, simple := scalar(v)
	return simple && text == want
}

// scalar gives the text of a value that is neither a list nor a mapping.
func scalar(v any) (string, bool) {
	switch v.(type) {
	case nil, []any, map[string]any:
		return "", false
	}
	return fmt.Sprint(v), true
}

// errNothing is there to be deleted.
var errNothing = errors.New("there is nothing to delete")

// write gives what node is with a value at a path, and without what is there if the value is nil. It changes
// nothing: what differs is a copy. Mappings, and lists that are counted in, are made where there is nothing.
func write(node any, path []step, value any) (any, error) {
	if len(path) == 0 {
		return replace(node, value), nil
	}
	if path[0].item {
		return writeItem(node, path, value)
	}
	return writeField(node, path, value)
}

func writeField(node any, path []step, value any) (any, error) {
	s := path[0]
	former, ok := node.(map[string]any)
	if !ok && node != nil {
		return nil, fmt.Errorf("%s is to be a field of what is no mapping", s.text)
	}
	was, there := former[s.name]
	if value == nil && !there {
		return nil, errNothing
	}
	out := maps.Clone(former)
	if out == nil {
		out = map[string]any{}
	}
	if value == nil && len(path) == 1 {
		delete(out, s.name)
		return out, nil
	}
	value, err := write(was, path[1:], underName(s, path, value))
	if err != nil {
		return nil, err
	}
	out[s.name] = value
	return out, nil
}

// underName takes a value out of a mapping in a text that has it under the name of the last field, as Istio's tool
// does.
func underName(s step, path []step, value any) any {
	if m, ok := textMapping(value); ok && len(path) == 1 && len(m) == 1 {
		if inner, ok := m[s.name]; ok && inner != nil {
			return inner
		}
	}
	return value
}

func writeItem(node any, path []step, value any) (any, error) {
	s := path[0]
	list, ok := node.([]any)
	if !ok && node != nil {
		return nil, fmt.Errorf("%s is to be an item of what is no list", s.text)
	}
	at, err := s.find(list)
	if err != nil {
		return nil, err
	}
	if at == last && value == nil {
		return nil, fmt.Errorf("there is no item %s: there are %d", s.text, len(list))
	}
	if value == nil && len(path) == 1 {
		return slices.Delete(slices.Clone(list), at, at+1), nil
	}
	var was any
	if at != last {
		was = list[at]
	}
	of, err := write(was, path[1:], value)
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	if at == last {
		return append(list, of), nil
	}
	list[at] = of
	return list, nil
}

// replace gives what comes of a value where another is. To a list an item is added; only a list takes its
// place. A mapping may be written as a text, except where a text is.
func replace(was, value any) any {
	if _, isText := was.(string); !isText {
		if m, ok := textMapping(value); ok {
			value = m
		}
	}
	list, wasList := was.([]any)
	if _, isList := value.([]any); wasList && !isList {
		return append(slices.Clone(list), value)
	}
	return value
}
