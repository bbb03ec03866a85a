package file

import (
	"bytes"
	"errors"
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
// the others readable. Documents of blanks and comments only are left out. It adds to docs.
func splitDocuments(docs []document, data []byte) []document {
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
	for n := 0; len(text) > 0; n++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		trimmed := bytes.TrimSpace(line)
		if len(trimmed) > 0 && trimmed[0] != '#' {
			return n, true
		}
		text = rest
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
