package file

import (
	"go.yaml.in/yaml/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/lines"
)

// source is where an object stands: its JSON, and its place in a document.
type source struct {
	doc  document
	text []byte
	line int // the file's line on which the object starts
	// node is the object's, nil until somebody asks for it.
	node *yaml.Node
}

// root gives the object's node, nil where there is none. Most objects have no problem for which
// lines have to be known.
func (s *source) root() *yaml.Node {
	if s.node == nil && s.doc.text != nil {
		s.node, _ = s.doc.parse() // it did parse, or was plain
	}
	return s.node
}

// fieldLine gives the file's line of a field, or of as much of its path as there is.
func (s *source) fieldLine(field string) int {
	return lines.Field(s.root(), s.doc.base-1, s.line, field)
}
