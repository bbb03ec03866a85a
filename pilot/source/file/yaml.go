package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what one file may hold. They are far above any real configuration and keep a
// hostile or broken file from taking the process's memory.
const (
	maxFileBytes = 16 << 20 // of one file
	maxDepth     = 100      // nested mappings, sequences and aliases
	maxNodes     = 1 << 20  // of one document, with aliases expanded
)

// document is one YAML document of a file.
type document struct {
	text []byte
	base int // the file's line, 1-based, on which text begins
	line int // the file's line of the first line that says something
}

// splitDocuments cuts a file at its "---" lines, so that a document that does not parse leaves
// the others readable. Documents of blanks and comments only are left out.
func splitDocuments(data []byte) []document {
	var docs []document
	start, base := 0, 1
	flush := func(end int) {
		if blank, ok := leadingBlank(data[start:end]); ok {
			docs = append(docs, document{text: data[start:end], base: base, line: base + blank})
		}
	}
	for pos, line := 0, 1; pos < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		if isSeparator(data[pos:end]) {
			flush(pos)
			start, base = end, line+1
		}
		pos = end
	}
	flush(len(data))
	return docs
}

func isSeparator(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) {
		return false
	}
	rest := bytes.TrimSpace(line[3:])
	return len(rest) == 0 || rest[0] == '#'
}

// leadingBlank gives the number of leading lines that say nothing, and whether any line does.
func leadingBlank(text []byte) (int, bool) {
	for n, line := range bytes.Split(text, []byte("\n")) {
		trimmed := bytes.TrimSpace(line)
		if len(trimmed) > 0 && trimmed[0] != '#' {
			return n, true
		}
	}
	return 0, false
}

// parse gives the root of a document. Its nodes' lines count from the text's first line.
func (d document) parse() (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(d.text, &root); err != nil {
		return nil, err
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, errors.New("is empty")
	}
	return root.Content[0], nil
}

// errorLine finds the line that a message of the YAML parser names, counted in the file.
func (d document) errorLine(err error) int {
	_, rest, found := strings.Cut(err.Error(), "line ")
	if !found {
		return d.line
	}
	number, _, _ := strings.Cut(rest, ":")
	if n, err := strconv.Atoi(number); err == nil && n > 0 {
		return d.base + n - 1
	}
	return d.line
}

// jsonWriter writes YAML nodes as JSON in which each value stands on the line that it has in
// the YAML document. A decoder's error position in the JSON is then a line of the user's file.
type jsonWriter struct {
	buf   bytes.Buffer
	line  int // of the JSON, 1-based
	nodes int
}

// toJSON gives the node as JSON with the node's own line numbers.
func toJSON(n *yaml.Node) ([]byte, error) {
	w := &jsonWriter{line: 1}
	if err := w.node(n, 0); err != nil {
		return nil, err
	}
	return w.buf.Bytes(), nil
}

// lineError is an error at a line of the document.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

func (w *jsonWriter) advance(line int) {
	for w.line < line {
		w.buf.WriteByte('\n')
		w.line++
	}
}

func (w *jsonWriter) node(n *yaml.Node, depth int) error {
	if w.nodes++; w.nodes > maxNodes {
		return &lineError{n.Line, fmt.Sprintf("has more than %d values (aliases expanded)", maxNodes)}
	}
	if depth > maxDepth {
		return &lineError{n.Line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	w.advance(n.Line)
	switch n.Kind {
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1)
	case yaml.MappingNode:
		return w.mapping(n, depth)
	case yaml.SequenceNode:
		w.buf.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.buf.WriteByte(',')
			}
			if err := w.node(item, depth+1); err != nil {
				return err
			}
		}
		w.buf.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return &lineError{n.Line, "holds something that is no YAML value"}
}

func (w *jsonWriter) mapping(n *yaml.Node, depth int) error {
	pairs, err := mergedPairs(n, depth)
	if err != nil {
		return err
	}
	w.buf.WriteByte('{')
	for i, p := range pairs {
		if i > 0 {
			w.buf.WriteByte(',')
		}
		w.advance(p.key.Line)
		if err := w.quote(p.key.Value); err != nil {
			return err
		}
		w.buf.WriteByte(':')
		if err := w.node(p.value, depth+1); err != nil {
			return err
		}
	}
	w.buf.WriteByte('}')
	return nil
}

type pair struct{ key, value *yaml.Node }

// mergedPairs gives a mapping's pairs with "<<" merged in; a key of the mapping's own wins.
func mergedPairs(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, &lineError{n.Line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	seen := make(map[string]bool, len(n.Content)/2)
	var pairs, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, &lineError{n.Content[i].Line, "has a key that is not a plain value"}
		}
		if key.Tag == "!!merge" {
			more, err := mergeSources(value, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if seen[key.Value] {
			return nil, &lineError{key.Line, fmt.Sprintf("has the key %q twice; remove one", key.Value)}
		}
		seen[key.Value] = true
		pairs = append(pairs, pair{key, value})
	}
	for _, p := range merged {
		if !seen[p.key.Value] {
			seen[p.key.Value] = true
			pairs = append(pairs, p)
		}
	}
	return pairs, nil
}

// mergeSources gives the pairs of the value of a "<<" key: a mapping or a list of them.
func mergeSources(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, &lineError{n.Line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return mergeSources(n.Alias, depth+1)
	case yaml.MappingNode:
		return mergedPairs(n, depth)
	case yaml.SequenceNode:
		var pairs []pair
		for _, item := range n.Content {
			more, err := mergeSources(item, depth+1)
			if err != nil {
				return nil, err
			}
			if pairs = append(pairs, more...); len(pairs) > maxNodes {
				break
			}
		}
		return pairs, nil
	}
	return nil, &lineError{n.Line, "merges (<<) something that is not a mapping"}
}

func (w *jsonWriter) quote(s string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	w.buf.Write(text)
	return nil
}

// scalar writes one plain value. Unquoted yes, no, on and off are booleans, as they are for
// kubectl; dates stay the text that they are.
func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.buf.WriteString("null")
		return nil
	case "!!bool":
		w.buf.WriteString(strings.ToLower(n.Value))
		return nil
	case "!!int":
		return w.integer(n)
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return &lineError{n.Line, fmt.Sprintf("holds the number %s, which has no JSON form; quote it if it is text", n.Value)}
		}
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		w.buf.Write(text)
		return nil
	}
	if n.Style == 0 && n.Tag == "!!str" {
		switch strings.ToLower(n.Value) {
		case "yes", "on":
			w.buf.WriteString("true")
			return nil
		case "no", "off":
			w.buf.WriteString("false")
			return nil
		}
	}
	return w.quote(n.Value)
}

func (w *jsonWriter) integer(n *yaml.Node) error {
	var i int64
	if n.Decode(&i) == nil {
		w.buf.WriteString(strconv.FormatInt(i, 10))
		return nil
	}
	var u uint64
	if n.Decode(&u) == nil {
		w.buf.WriteString(strconv.FormatUint(u, 10))
		return nil
	}
	return &lineError{n.Line, fmt.Sprintf("holds the number %s, which is too large", n.Value)}
}

// lookup gives the value of a mapping's key, following aliases, or nil.
func lookup(n *yaml.Node, key string) *yaml.Node {
	_, value := lookupPair(n, key)
	return value
}

// lookupPair gives the nodes of a mapping's key and of its value, or nil.
func lookupPair(n *yaml.Node, key string) (at, value *yaml.Node) {
	for depth := 0; n != nil && n.Kind == yaml.AliasNode && depth < maxDepth; depth++ {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// pathAt gives the path of the last key on the given line that is called name, or of the last
// key or item on that line, e.g. spec.http[0].retries.
func pathAt(n *yaml.Node, line int, name string) string {
	best, exact := "", ""
	var walk func(n *yaml.Node, path string, depth int)
	walk = func(n *yaml.Node, path string, depth int) {
		if depth > maxDepth {
			return
		}
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key, p := n.Content[i], n.Content[i].Value
				if path != "" {
					p = path + "." + p
				}
				if key.Line == line {
					best = p
					if key.Value == name {
						exact = p
					}
				}
				walk(n.Content[i+1], p, depth+1)
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				p := path + "[" + strconv.Itoa(i) + "]"
				if item.Line == line {
					best = p
				}
				walk(item, p, depth+1)
			}
		}
	}
	walk(n, "", 0)
	if exact != "" {
		return exact
	}
	return best
}
