package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// jsonWriter writes YAML as JSON in which each value stands on the line that it has in the YAML
// document. A decoder's error position in the JSON is then a line of the user's file. What omit
// names is left out.
type jsonWriter struct {
	omit  *omission
	buf   []byte
	line  int // of the JSON, 1-based
	nodes int
	head  head
}

// head is what the top of an object's JSON says of its kind: slices of the JSON, nil for what is
// absent.
type head struct{ apiVersion, kind []byte }

// reset begins a new text, in the place of the former one.
func (w *jsonWriter) reset() { w.buf, w.line, w.nodes, w.head = w.buf[:0], 1, 0, head{} }

// lineError is an error at a line of the document.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

func (w *jsonWriter) advance(line int) {
	for w.line < line {
		w.buf = append(w.buf, '\n')
		w.line++
	}
}

// entry is a mapping's entry that is being written.
type entry struct {
	start, line int       // of the writer, before the entry
	value       int       // where the entry's value starts
	omit        *omission // what is left out of the value
}

// key begins an entry of a mapping of which some entries may have been written.
func (w *jsonWriter) key(key []byte, line int, some bool, omit *omission) entry {
	e := entry{start: len(w.buf), line: w.line, omit: omit.entry(key)}
	if some {
		w.buf = append(w.buf, ',')
	}
	w.advance(line)
	w.quote(key)
	w.buf = append(w.buf, ':')
	e.value = len(w.buf)
	return e
}

// done ends an entry; it gives whether the entry stays.
func (w *jsonWriter) done(e entry) bool {
	if e.omit.whole() {
		w.buf, w.line = w.buf[:e.start], e.line
		return false
	}
	return true
}

// top notes an entry of the outermost mapping.
func (w *jsonWriter) top(key []byte, e entry) {
	switch string(key) {
	case "apiVersion":
		w.head.apiVersion = bytes.TrimSpace(w.buf[e.value:])
	case "kind":
		w.head.kind = bytes.TrimSpace(w.buf[e.value:])
	}
}

// quote writes a string. Most need no escape.
func (w *jsonWriter) quote(s []byte) {
	for _, c := range s {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			text, err := json.Marshal(string(s))
			if err != nil { // a string always marshals
				text = []byte(`""`)
			}
			w.buf = append(w.buf, text...)
			return
		}
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, '"')
}

// count bounds the values of a document and their depth.
func (w *jsonWriter) count(line, depth int) error {
	if w.nodes++; w.nodes > maxNodes {
		return &lineError{line, fmt.Sprintf("has more than %d values (aliases expanded)", maxNodes)}
	}
	if depth > maxDepth {
		return &lineError{line, fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	return nil
}

// node writes what the YAML parser has read, at some depth of the object.
func (w *jsonWriter) node(n *yaml.Node, depth int, omit *omission) error {
	if err := w.count(n.Line, depth); err != nil {
		return err
	}
	w.advance(n.Line)
	switch n.Kind {
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1, omit)
	case yaml.MappingNode:
		return w.mapping(n, depth, omit)
	case yaml.SequenceNode:
		w.buf = append(w.buf, '[')
		for i, item := range n.Content {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			if err := w.node(item, depth+1, omit); err != nil {
				return err
			}
		}
		w.buf = append(w.buf, ']')
		return nil
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return &lineError{n.Line, "holds something that is no YAML value"}
}

func (w *jsonWriter) mapping(n *yaml.Node, depth int, omit *omission) error {
	pairs, err := mergedPairs(n, depth)
	if err != nil {
		return err
	}
	w.buf = append(w.buf, '{')
	some := false
	for _, p := range pairs {
		key := []byte(p.key.Value)
		e := w.key(key, p.key.Line, some, omit)
		if err := w.node(p.value, depth+1, e.omit); err != nil {
			return err
		}
		if depth == 0 {
			w.top(key, e)
		}
		some = w.done(e) || some
	}
	w.buf = append(w.buf, '}')
	return nil
}

// scalar writes one plain value. Unquoted yes, no, on and off are booleans, as they are for
// kubectl; dates stay the text that they are.
func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.buf = append(w.buf, "null"...)
		return nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil { // an explicit tag stands before any text
			return &lineError{n.Line, fmt.Sprintf("has the tag !!bool before %q, which is neither true nor false; remove the tag", n.Value)}
		}
		w.buf = strconv.AppendBool(w.buf, b)
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
		w.buf = append(w.buf, text...)
		return nil
	}
	if n.Style == 0 && n.Tag == "!!str" {
		switch strings.ToLower(n.Value) {
		case "yes", "on":
			w.buf = append(w.buf, "true"...)
			return nil
		case "no", "off":
			w.buf = append(w.buf, "false"...)
			return nil
		}
	}
	w.quote([]byte(n.Value))
	return nil
}

func (w *jsonWriter) integer(n *yaml.Node) error {
	var i int64
	if n.Decode(&i) == nil {
		w.buf = strconv.AppendInt(w.buf, i, 10)
		return nil
	}
	var u uint64
	if n.Decode(&u) == nil {
		w.buf = strconv.AppendUint(w.buf, u, 10)
		return nil
	}
	return &lineError{n.Line, fmt.Sprintf("holds the number %s, which is too large", n.Value)}
}
