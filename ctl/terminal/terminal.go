// Package terminal writes what the command line shows. Names and messages come from proxies, nodes and
// YAML, and may hold what moves a cursor, sets a title, or looks like another line: whatever a command
// prints of them goes through here. The output of a user's own program (logs, exec) does not.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Text gives a value as one line, with what is not to be printed escaped.
func Text(value string) string { return model.Printable(value) }

// Lines gives a text that may have several lines, with all else that is not to be printed escaped.
func Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\t")
		for j, part := range parts {
			parts[j] = model.Printable(part)
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

// JSON gives a document of JSON that has the same meaning, with what is not to be printed escaped. Only
// texts in quotes can hold such.
func JSON(document []byte) []byte {
	out := make([]byte, 0, len(document))
	for len(document) > 0 {
		r, size := utf8.DecodeRune(document)
		switch {
		case r == '\n' || r == '\t' || r == '\r' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			out = append(out, document[:size]...)
		case r > 0xffff: // invisible at most, and YAML knows no pairs of escapes
			out = append(out, document[:size]...)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		document = document[size:]
	}
	return out
}

// Table writes rows under a header, with so many blanks between the columns.
func Table(w io.Writer, padding int, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, padding, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Text(cell)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}
