package file

import (
	"bytes"
)

// plainReader writes a document as JSON without making nodes of it. It knows the plain part of
// YAML in which nearly all manifests are written: ASCII, block and flow collections, values on one
// line, no escape, anchor or tag. What it does not know it leaves to the YAML parser, errors too;
// for what it knows it gives the bytes that the parser's nodes would give.
type plainReader struct {
	w     *jsonWriter
	in    []byte
	pos   int
	line  int // of pos, 1-based
	start int // where the line of pos starts
}

// plain writes a document as JSON if it can.
func (w *jsonWriter) plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' || c >= 0x7f {
			return false
		}
	}
	w.reset()
	r := plainReader{w: w, in: text, line: 1}
	return r.next() && r.pos < len(r.in) && r.block(-1, 0, w.omit) && r.pos == len(r.in)
}

// at gives the byte that stands some way after the next, '\n' after the end.
func (r *plainReader) at(ahead int) byte {
	if r.pos+ahead < len(r.in) {
		return r.in[r.pos+ahead]
	}
	return '\n'
}

func (r *plainReader) column() int { return r.pos - r.start }

func (r *plainReader) blanks() {
	for r.pos < len(r.in) && r.in[r.pos] == ' ' {
		r.pos++
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' }

// endOfLine goes to the end of a line on which nothing follows but blanks and a comment.
func (r *plainReader) endOfLine() bool {
	r.blanks()
	if r.at(0) == '#' {
		if i := bytes.IndexByte(r.in[r.pos:], '\n'); i >= 0 {
			r.pos += i
		} else {
			r.pos = len(r.in)
		}
	}
	return r.at(0) == '\n'
}

// next goes to the first byte that says something, from there or on a later line.
func (r *plainReader) next() bool {
	for r.endOfLine() {
		if r.pos >= len(r.in) {
			return true
		}
		r.pos++
		r.line++
		r.start = r.pos
	}
	mark := r.in[r.pos:]
	return r.column() > 0 || mark[0] != '%' && !bytes.HasPrefix(mark, []byte("---")) && !bytes.HasPrefix(mark, []byte("..."))
}

// ended tells whether a collection of an indentation has no further line.
func (r *plainReader) ended(indent int) bool { return r.pos >= len(r.in) || r.column() < indent }

func (r *plainReader) isDash() bool { return r.at(0) == '-' && isBlank(r.at(1)) }

// block reads a value that begins on a line of its own, indented more than outer. As all readers
// of blocks it goes on to what follows.
func (r *plainReader) block(outer, depth int, omit *omission) bool {
	switch {
	case r.isDash():
		return r.sequence(r.column(), depth, omit)
	case r.at(0) == '{' || r.at(0) == '[':
		return r.flow(outer, depth, omit) && r.endOfLine() && r.next()
	case r.startsMapping():
		return r.mapping(r.column(), depth, omit)
	}
	return false
}

// startsMapping tells whether a key stands here.
func (r *plainReader) startsMapping() bool {
	trial := *r
	_, ok := trial.blockKey()
	return ok
}

// blockKey reads a key with its colon.
func (r *plainReader) blockKey() ([]byte, bool) {
	var key []byte
	var ok bool
	if c := r.at(0); c == '"' || c == '\'' {
		key, ok = r.quoted()
	} else {
		key, ok = r.bare(false)
		ok = ok && string(key) != "<<"
	}
	if !ok || len(key) > 1000 || r.at(0) != ':' || !isBlank(r.at(1)) {
		return nil, false
	}
	r.pos++
	return key, true
}

func (r *plainReader) mapping(indent, depth int, omit *omission) bool {
	if r.w.count(r.line, depth) != nil {
		return false
	}
	r.w.advance(r.line)
	r.w.buf = append(r.w.buf, '{')
	var seen keysSeen
	some := false
	for {
		line := r.line
		key, ok := r.blockKey()
		if !ok || !seen.add(key) {
			return false
		}
		e := r.w.key(key, line, some, omit)
		if !r.entryValue(indent, depth+1, e.omit) {
			return false
		}
		if depth == 0 {
			r.w.top(key, e)
		}
		some = r.w.done(e) || some
		if r.ended(indent) {
			break
		}
		if r.column() > indent {
			return false
		}
	}
	r.w.buf = append(r.w.buf, '}')
	return true
}

// entryValue reads what follows a key: on its line, or below it and indented more. A sequence may
// be indented as much as the key.
func (r *plainReader) entryValue(indent, depth int, omit *omission) bool {
	line := r.line
	if !r.endOfLine() {
		return r.inline(indent, depth, omit)
	}
	if !r.next() {
		return false
	}
	switch {
	case !r.ended(indent + 1):
		return r.block(indent, depth, omit)
	case !r.ended(indent) && r.isDash():
		return r.sequence(indent, depth, omit)
	}
	return r.null(line, depth)
}

func (r *plainReader) sequence(indent, depth int, omit *omission) bool {
	if r.w.count(r.line, depth) != nil {
		return false
	}
	r.w.advance(r.line)
	r.w.buf = append(r.w.buf, '[')
	for i := 0; ; i++ {
		if i > 0 {
			r.w.buf = append(r.w.buf, ',')
		}
		r.pos++
		if !r.item(indent, depth+1, omit) {
			return false
		}
		if r.ended(indent) || r.column() == indent && !r.isDash() {
			break
		}
		if r.column() > indent {
			return false
		}
	}
	r.w.buf = append(r.w.buf, ']')
	return true
}

// item reads what follows a dash.
func (r *plainReader) item(indent, depth int, omit *omission) bool {
	line := r.line
	if r.endOfLine() {
		if !r.next() {
			return false
		}
		if r.ended(indent + 1) {
			return r.null(line, depth)
		}
		return r.block(indent, depth, omit)
	}
	switch {
	case r.isDash():
		return r.sequence(r.column(), depth, omit)
	case r.startsMapping():
		return r.mapping(r.column(), depth, omit)
	}
	return r.inline(indent, depth, omit)
}

// inline reads a value that follows on the same line and is the last there.
func (r *plainReader) inline(indent, depth int, omit *omission) bool {
	if c := r.at(0); c == '{' || c == '[' {
		return r.flow(indent, depth, omit) && r.endOfLine() && r.next()
	}
	// On a line of its own a value that goes on would be indented more.
	return r.scalar(depth, false) && r.endOfLine() && r.next() && r.ended(indent+1)
}

func (r *plainReader) null(line, depth int) bool {
	if r.w.count(line, depth) != nil {
		return false
	}
	r.w.advance(line)
	r.w.buf = append(r.w.buf, "null"...)
	return true
}
