package file

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar reads a plain or a quoted value.
func (r *plainReader) scalar(depth int, flow bool) bool {
	if r.w.count(r.line, depth) != nil {
		return false
	}
	r.w.advance(r.line)
	if c := r.at(0); c == '"' || c == '\'' {
		text, ok := r.quoted()
		if ok {
			r.w.quote(text)
		}
		return ok
	}
	text, ok := r.bare(flow)
	return ok && r.w.bare(text, r.line)
}

// quoted reads a quoted text on one line that stands for itself.
func (r *plainReader) quoted() ([]byte, bool) {
	quote := r.in[r.pos]
	for i := r.pos + 1; i < len(r.in); i++ {
		switch r.in[i] {
		case '\n', '\\':
			return nil, false
		case quote:
			text := r.in[r.pos+1 : i]
			r.pos = i + 1
			return text, r.at(0) != quote // '' stands for a quote
		}
	}
	return nil, false
}

// bare reads a text without quotes up to a colon, a comment, the end of the line or, in a flow
// collection, an indicator.
func (r *plainReader) bare(flow bool) ([]byte, bool) {
	switch r.at(0) {
	case '\n', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`':
		return nil, false
	case '-':
		if isBlank(r.at(1)) {
			return nil, false
		}
	}
	begin := r.pos
scan:
	for ; r.pos < len(r.in); r.pos++ {
		switch c := r.in[r.pos]; {
		case c == '\n', c == '#' && r.in[r.pos-1] == ' ':
			break scan
		case c == ':' && isBlank(r.at(1)):
			break scan
		case flow && c == ':' && isFlowIndicator(r.at(1)):
			return nil, false
		case flow && isFlowIndicator(c):
			break scan
		}
	}
	end := r.pos
	for r.in[end-1] == ' ' {
		end--
	}
	return r.in[begin:end], true
}

func isFlowIndicator(c byte) bool {
	switch c {
	case ',', '?', '[', ']', '{', '}':
		return true
	}
	return false
}

// bare writes an unquoted value, whose type follows from its form.
func (w *jsonWriter) bare(text []byte, line int) bool {
	switch kind := formOf(text); {
	case string(text) == "<<":
		return false
	case kind == formText:
		w.quote(text)
		return true
	case kind == formInteger:
		w.buf = append(w.buf, text...)
		return true
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: string(text), Line: line}
	n.Tag = n.ShortTag()
	return w.scalar(n) == nil
}

// form is what an unquoted value looks like.
type form int

const (
	formOther   form = iota // needs a closer look
	formText                // surely a text
	formInteger             // surely a decimal integer as JSON has it
)

func formOf(text []byte) form {
	c := text[0]
	if c < '0' || c > '9' {
		switch {
		case c == '+' || c == '-' || c == '.' || c == '~' || isWord(text):
			return formOther
		}
		return formText
	}
	digits, dots := 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		case bytes.IndexByte([]byte("ghjklmqrsuvwyGHJKLMQRSUVWY"), c) >= 0:
			return formText // no number and no date has one of these
		default:
			return formOther
		}
	}
	switch {
	case dots > 1:
		return formText
	case dots == 0 && digits <= 18 && (c != '0' || digits == 1):
		return formInteger
	}
	return formOther
}

// isWord tells whether a text, in some spelling, may be a boolean or nothing.
func isWord(text []byte) bool {
	if len(text) > len("false") {
		return false
	}
	for _, word := range [...]string{"true", "false", "yes", "no", "on", "off", "null"} {
		if len(word) == len(text) && strings.EqualFold(word, string(text)) {
			return true
		}
	}
	return false
}

// keysSeen finds a key that a mapping has twice. Mappings are small but for hostile ones.
type keysSeen struct {
	few  [16][]byte
	n    int
	many map[string]bool
}

func (s *keysSeen) add(key []byte) bool {
	if s.n < len(s.few) {
		for _, k := range s.few[:s.n] {
			if bytes.Equal(k, key) {
				return false
			}
		}
		s.few[s.n] = key
		s.n++
		return true
	}
	if s.many == nil {
		s.many = map[string]bool{}
		for _, k := range s.few {
			s.many[string(k)] = true
		}
	}
	if s.many[string(key)] {
		return false
	}
	s.many[string(key)] = true
	return true
}
