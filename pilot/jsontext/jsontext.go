// Package jsontext walks through JSON without making anything of it. It serves those who look for a part of a text, or
// know better than a decoder what to make of it.
package jsontext

import "encoding/json"

// Reader stands at a place of a text. The text is well formed: what has read or written it before has seen to that. Of any
// other text it gives parts, but none beyond the end.
type Reader struct {
	Text []byte
	Pos  int
}

// Next goes to the next value or name, or to the end of what holds them, and gives the byte there: 0 at the end of the
// text. Commas and colons say nothing in a text that is well formed.
func (r *Reader) Next() byte {
	for ; r.Pos < len(r.Text); r.Pos++ {
		switch c := r.Text[r.Pos]; c {
		case ' ', '\n', '\t', '\r', ',', ':':
		default:
			return c
		}
	}
	return 0
}

// Open goes into the object or list that begins here.
func (r *Reader) Open() { r.Pos++ }

// More goes to the next entry of an object or list, and tells whether there is one. Else it goes behind the end.
func (r *Reader) More() bool {
	switch r.Next() {
	case 0:
		return false
	case '}', ']':
		r.Pos++
		return false
	}
	return true
}

// Value goes behind the value or name that is next, and gives it.
func (r *Reader) Value() []byte {
	c := r.Next()
	start := r.Pos
	switch c {
	case '"':
		r.quoted()
	case '{', '[':
		r.nested()
	default:
		r.literal()
	}
	return r.Text[start:r.Pos]
}

// Plain goes behind the text that is next, and gives what is between its quotes. ok tells that this stands for itself: it
// has no escape, and ASCII only.
func (r *Reader) Plain() (text []byte, ok bool) {
	if r.Next() != '"' {
		return nil, false
	}
	start := r.Pos + 1
	ok = r.quoted()
	return r.Text[start:max(start, r.Pos-1)], ok
}

// String goes behind the text that is next, and gives what it stands for. ok tells that a text is next.
func (r *Reader) String() (text string, ok bool) {
	if r.Next() != '"' {
		return "", false
	}
	start := r.Pos
	if plain, ok := r.Plain(); ok {
		return string(plain), true
	}
	err := json.Unmarshal(r.Text[start:r.Pos], &text)
	return text, err == nil
}

// quoted goes behind a text, and tells whether it stands for itself.
func (r *Reader) quoted() bool {
	plain := true
	for r.Pos++; r.Pos < len(r.Text); r.Pos++ {
		switch c := r.Text[r.Pos]; {
		case c == '"':
			r.Pos++
			return plain
		case c == '\\':
			r.Pos++
			plain = false
		case c >= 0x80 || c < ' ':
			plain = false
		}
	}
	r.Pos = len(r.Text) // an escape may have had no end
	return false
}

// nested goes behind an object or list.
func (r *Reader) nested() {
	for depth := 0; r.Pos < len(r.Text); {
		switch r.Text[r.Pos] {
		case '"':
			r.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		r.Pos++
		if depth == 0 {
			return
		}
	}
}

// literal goes behind a number or a word.
func (r *Reader) literal() {
	for ; r.Pos < len(r.Text); r.Pos++ {
		switch r.Text[r.Pos] {
		case ' ', '\n', '\t', '\r', ',', ':', '}', ']', '{', '[', '"':
			return
		}
	}
}
