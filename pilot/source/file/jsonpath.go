package file

import (
	"bytes"
	"encoding/json"
)

// pathAt gives the path of the key or value that begins at a position of a JSON text, e.g. ".http[0].retries", or ""
// where none does. Line and column begin with 1, and a column is a letter, as protojson counts them.
func pathAt(text []byte, line, column int) string {
	at := 0
	for range line - 1 {
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 {
			return ""
		}
		at += end + 1
	}
	letter := 1
	for i := range string(text[at:]) {
		if letter == column {
			f := &pathFinder{in: text, dec: json.NewDecoder(bytes.NewReader(text)), at: at + i}
			f.dec.UseNumber() // a number's form is not ours to judge
			path, _ := f.value("")
			return path
		}
		letter++
	}
	return ""
}

// pathFinder reads a JSON text up to a position.
type pathFinder struct {
	in  []byte
	dec *json.Decoder
	at  int
}

// value reads one value, and tells whether the reading has an end: with the path of what begins at the position, or
// with none where the text is broken.
func (f *pathFinder) value(path string) (found string, end bool) {
	start := f.next()
	token, err := f.dec.Token()
	switch {
	case err != nil:
		return "", true
	case start == f.at:
		return path, true
	case token == json.Delim('['):
		for i := 0; f.dec.More(); i++ {
			if found, end = f.value(path + item(i)); end {
				return found, true
			}
		}
	case token == json.Delim('{'):
		for f.dec.More() {
			if found, end = f.entry(path); end {
				return found, true
			}
		}
	default:
		return "", false
	}
	_, err = f.dec.Token() // the end of the list or object
	return "", err != nil
}

// entry reads a key and its value.
func (f *pathFinder) entry(path string) (found string, end bool) {
	start := f.next()
	token, err := f.dec.Token()
	name, ok := token.(string)
	if err != nil || !ok {
		return "", true
	}
	if path += "." + name; start == f.at {
		return path, true
	}
	return f.value(path)
}

// next gives where the next token begins.
func (f *pathFinder) next() int {
	rest := f.in[f.dec.InputOffset():]
	return len(f.in) - len(bytes.TrimLeft(rest, " \t\r\n:,"))
}
