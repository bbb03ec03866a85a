package file

import (
	"errors"

	"go.yaml.in/yaml/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// Bounds on what one file may hold. They are far above any real configuration and keep a
// hostile or broken file from taking the process's memory.
const (
	MaxFileBytes = 16 << 20 // of one file
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
// the others readable. Documents of blanks and comments only are left out. It adds to docs.
func splitDocuments(docs []document, data []byte) []document {
	_ = yamldoc.Each(data, func(d yamldoc.Document) error { // which has no error of its own
		if d.Line > 0 {
			docs = append(docs, document{text: d.Text, base: d.Base, line: d.Line})
		}
		return nil
	})
	return docs
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

// fault gives the line of the file that an error of the YAML parser is about, and what it says of it.
func (d document) fault(err error) (line int, what string) {
	return yamldoc.Document{Text: d.text, Base: d.base, Line: d.line}.Fault(err)
}
