// Package yamldoc cuts files into YAML documents, and gives what a parser says of one its line in the file. All that
// reads files of objects tells lines by it.
package yamldoc

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Document is one YAML document of a file.
type Document struct {
	Text []byte
	Base int // the file's line, 1-based, on which Text begins
	Line int // the file's line of the first line that says something; 0 for blanks and comments only
}

// Each calls do with each document of a file, cut at its "---" lines.
func Each(data []byte, do func(Document) error) error {
	start, base := 0, 1
	flush := func(end int) error {
		d := Document{Text: data[start:end], Base: base}
		if blank, ok := leadingBlank(d.Text); ok {
			d.Line = base + blank
		}
		return do(d)
	}
	for pos, line := 0, 1; pos < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		if isSeparator(data[pos:end]) {
			if err := flush(pos); err != nil {
				return err
			}
			start, base = end, line+1
		}
		pos = end
	}
	return flush(len(data))
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

// parserSays are the beginnings of what the parser says, in the place of its scanner. Of these it counts lines from 0.
var parserSays = []string{
	"did not find expected ',' or ", "did not find expected key", "did not find expected '-' indicator", "did not find expected node content", "did not find expected <",
}

// lineForm is how parsers of YAML and JSON name a line of the text that they read.
var lineForm = regexp.MustCompile(`(?:error converting YAML to JSON: )?(?:yaml: )?line (\d+): `)

// Fault gives the line of the file that an error of a YAML parser is about, that of the document where it names none,
// and what it says without its own line.
func (d Document) Fault(err error) (line int, what string) {
	what = err.Error()
	at := lineForm.FindStringSubmatchIndex(what)
	if at == nil {
		what = strings.TrimPrefix(strings.TrimPrefix(what, "error converting YAML to JSON: "), "yaml: ")
		return max(d.Line, d.Base), what
	}
	n, err := strconv.Atoi(what[at[2]:at[3]])
	what = what[:at[0]] + what[at[1]:]
	if err != nil {
		return max(d.Line, d.Base), what
	}
	for _, says := range parserSays {
		if strings.Contains(what, says) {
			n++
			break
		}
	}
	lines := bytes.Count(d.Text, []byte("\n")) // a parser may miss something after the last one
	return d.Base + min(n, max(lines, 1)) - 1, what
}

// Error tells what is wrong with a document of a file, which it wraps.
type Error struct {
	File string
	Line int
	What string
	Err  error
}

// Error gives FILE:LINE: what.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }

// Unwrap gives what a reader has said.
func (e *Error) Unwrap() error { return e.Err }

// In tells what is wrong with the document as one of a file.
func (d Document) In(file string, err error) error {
	line, what := d.Fault(err)
	return &Error{File: file, Line: line, What: what, Err: err}
}
