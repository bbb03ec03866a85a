package inject

import (
	"strconv"
	"strings"

	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// readYAML gives the tree of a template's result. What is
// in the few forms that templates write most is read by blockReader, which takes a tenth of the time: a pod waits
// for it.
func readYAML(text string) (any, error) {
	if v, ok := readBlocks(text); ok {
		return v, nil
	}
	v, err := readAnyYAML(text)
	return treeOf(v), err
}

// readAnyYAML reads all of YAML, in maps, lists, strings, bools, int64, float64 and nil.
func readAnyYAML(text string) (out any, err error) {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	return out, kjson.Unmarshal(data, &out)
}

// maxNested is how deep blockReader goes, maxKey how long a key may be for it; YAML's own bound is 1024. maxMembers is
// how many keys a mapping may have, since each is looked for among the others.
const (
	maxNested  = 50
	maxKey     = 1000
	maxMembers = 100
)

// blockReader reads printable ASCII in blocks of mappings and lists, whose values are on one line: words, text in
// double quotes, and JSON or what looks like it. It understands nothing that could mean something else to a reader
// of all YAML: then failed is set, and what it gives is nothing.
type blockReader struct {
	lines  []yamlLine // that are left
	nested int
	failed bool
}

// yamlLine is a line without the blanks around it. It has a text.
type yamlLine struct {
	indent int
	text   string
}

// readBlocks reads a text if a blockReader can.
func readBlocks(text string) (out any, ok bool) {
	r := &blockReader{lines: make([]yamlLine, 0, strings.Count(text, "\n")+1)}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n ")
		rest := strings.TrimLeft(line, " ")
		indent := len(line) - len(rest)
		for i := range len(rest) {
			if rest[i] < ' ' || rest[i] > '~' {
				return nil, false
			}
		}
		switch {
		case rest == "" || rest[0] == '#':
		case indent == 0 && (strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...")): // several documents
			return nil, false
		default:
			r.lines = append(r.lines, yamlLine{indent, rest})
		}
	}
	if len(r.lines) == 0 {
		return nil, true
	}
	out = r.node()
	return out, !r.failed && len(r.lines) == 0
}

func (r *blockReader) fail() any {
	r.failed, r.lines = true, nil
	return nil
}

// deeper tells whether the next line is indented more than the block that a value was read of. It would go on with the
// value.
func (r *blockReader) deeper(indent int) bool { return len(r.lines) > 0 && r.lines[0].indent > indent }

// node reads the block that begins with the next line, of which there has to be one.
func (r *blockReader) node() any {
	if r.nested++; r.nested > maxNested {
		return r.fail()
	}
	defer func() { r.nested-- }()
	first := r.lines[0]
	if isItem(first.text) {
		return r.list(first.indent)
	}
	if _, _, ok := cutKey(first.text); ok {
		return r.mapping(first.indent)
	}
	r.lines = r.lines[1:]
	return r.value(first.text)
}

func isItem(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

func (r *blockReader) list(indent int) any {
	out := []any{}
	for len(r.lines) > 0 && r.lines[0].indent == indent && isItem(r.lines[0].text) {
		text := r.lines[0].text
		rest := strings.TrimLeft(text[1:], " ")
		_, _, isKey := cutKey(rest)
		switch {
		case rest == "":
			r.lines = r.lines[1:]
			out = append(out, r.below(indent, false))
		case isKey || isItem(rest): // the item is a block that begins in its line
			r.lines[0] = yamlLine{indent + len(text) - len(rest), rest}
			out = append(out, r.node())
		default:
			r.lines = r.lines[1:]
			out = append(out, r.value(rest))
		}
		if r.deeper(indent) {
			return r.fail()
		}
	}
	return out
}

func (r *blockReader) mapping(indent int) any {
	out := make(object, 0, 4)
	for len(r.lines) > 0 && r.lines[0].indent == indent {
		key, rest, ok := cutKey(r.lines[0].text)
		if !ok || out.has(key) || len(out) == maxMembers {
			return r.fail()
		}
		r.lines = r.lines[1:]
		if rest == "" {
			out = append(out, member{key, r.below(indent, true)})
		} else {
			out = append(out, member{key, r.value(rest)})
		}
		if r.deeper(indent) {
			return r.fail()
		}
	}
	return out
}

// below reads the value of an item or a key with nothing behind it. A list may stand as far left as its key.
func (r *blockReader) below(indent int, ofKey bool) any {
	if r.deeper(indent) || ofKey && len(r.lines) > 0 && r.lines[0].indent == indent && isItem(r.lines[0].text) {
		return r.node()
	}
	return nil
}

// cutKey takes a line apart that begins with a key which is one plain word.
func cutKey(text string) (key, rest string, ok bool) {
	end := 0
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == 0 || end == len(text) || end > maxKey || text[end] != ':' || end+1 < len(text) && text[end+1] != ' ' {
		return "", "", false
	}
	return text[:end], strings.TrimLeft(text[end+1:], " "), isText(text[:end])
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || strings.IndexByte("_./=-", c) >= 0 }

// isText tells of a word that it is a string, and nothing else to any reader.
func isText(word string) bool {
	if !isLetter(word[0]) {
		return false
	}
	_, ok := boolOrNull(word).(string)
	return ok
}

// boolOrNull gives what a word that begins with a letter or ~ stands for in YAML 1.1.
func boolOrNull(word string) any {
	switch word {
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	case "~", "null", "Null", "NULL":
		return nil
	}
	return word
}

// value reads what a line has as a value.
func (r *blockReader) value(text string) any {
	switch text[0] {
	case '"', '{', '[':
		out, rest := r.flow(text)
		if rest != "" {
			return r.fail()
		}
		return out
	}
	if strings.Contains(text, ": ") || strings.Contains(text, " #") || strings.HasSuffix(text, ":") {
		return r.fail()
	}
	return r.plain(text)
}

// plain gives what a text without quotes stands for.
func (r *blockReader) plain(text string) any {
	first, number := text[0], isDigit(text[0])
	switch {
	case isLetter(first), first == '~':
		return boolOrNull(text)
	case first == '/', first == '-' && len(text) > 1 && (isLetter(text[1]) || text[1] == '-'):
		return text
	case first == '-' && len(text) > 1 && isDigit(text[1]), first == '.', first == '+':
		number = true
	}
	if !number {
		return r.fail()
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return n
	}
	out, err := readAnyYAML(text) // it may be a number in another form, a date or a version
	if err != nil {
		return r.fail()
	}
	return out
}

// flow reads a value that stands in quotes or brackets, or in between, and gives what is behind it.
func (r *blockReader) flow(text string) (out any, rest string) {
	if r.nested++; r.nested > maxNested || text == "" {
		return r.fail(), ""
	}
	defer func() { r.nested-- }()
	switch text[0] {
	case '"':
		return r.quoted(text)
	case '[':
		return r.flowList(text[1:])
	case '{':
		return r.flowMapping(text[1:])
	}
	end := 0
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == 0 {
		return r.fail(), ""
	}
	return r.plain(text[:end]), strings.TrimLeft(text[end:], " ")
}

func (r *blockReader) flowList(text string) (any, string) {
	out := []any{}
	for text = strings.TrimLeft(text, " "); !strings.HasPrefix(text, "]"); {
		var item any
		item, text = r.flow(text)
		out = append(out, item)
		if text = r.next(text, ']'); r.failed {
			return nil, ""
		}
	}
	return out, strings.TrimLeft(text[1:], " ")
}

func (r *blockReader) flowMapping(text string) (any, string) {
	out := make(object, 0, 2)
	for text = strings.TrimLeft(text, " "); !strings.HasPrefix(text, "}"); {
		var key string
		if strings.HasPrefix(text, `"`) {
			quoted, behind := r.quoted(text)
			if r.failed || !strings.HasPrefix(behind, ":") || len(text)-len(behind) > maxKey {
				return r.fail(), ""
			}
			key, text = quoted.(string), strings.TrimLeft(behind[1:], " ")
		} else {
			var ok bool
			if key, text, ok = cutKey(text); !ok {
				return r.fail(), ""
			}
		}
		if out.has(key) || len(out) == maxMembers {
			return r.fail(), ""
		}
		var value any
		value, text = r.flow(text)
		out = append(out, member{key, value})
		if text = r.next(text, '}'); r.failed {
			return nil, ""
		}
	}
	return out, strings.TrimLeft(text[1:], " ")
}

// next goes on to what is behind a comma, or to the end of what is in brackets.
func (r *blockReader) next(text string, end byte) string {
	switch {
	case strings.HasPrefix(text, ","):
		return strings.TrimLeft(text[1:], " ")
	case text == "" || text[0] != end:
		r.fail()
	}
	return text
}

// quoted reads a text in double quotes. Of what Go and JSON escape it takes what means the same in YAML.
func (r *blockReader) quoted(text string) (out any, rest string) {
	end, escaped := 1, false
	for ; end < len(text) && text[end] != '"'; end++ {
		if text[end] != '\\' {
			continue
		}
		if end++; end == len(text) || strings.IndexByte(`\"abfnrtvu`, text[end]) < 0 {
			return r.fail(), ""
		}
		escaped = true
	}
	if end >= len(text) {
		return r.fail(), ""
	}
	s, rest := text[1:end], strings.TrimLeft(text[end+1:], " ")
	if escaped {
		var err error
		if s, err = strconv.Unquote(text[:end+1]); err != nil { // such as half a pair of surrogates
			return r.fail(), ""
		}
	}
	return s, rest
}
