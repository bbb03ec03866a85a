package cel

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is a kind of tokens.
type kind uint8

const (
	tokenEnd kind = iota
	tokenName
	tokenNumber
	tokenText  // a string or bytes
	tokenPunct // an operator, a bracket, or a word that is one
)

// token is a lexical element of an expression.
type token struct {
	kind kind
	text string // as it is written
	at   int    // offset in bytes
	// value is what a text stands for.
	value string
}

// The forms of tokens, longest first where one may begin another.
var (
	blank  = regexp.MustCompile(`^(?:[ \t\r\n\f]+|//[^\n]*)+`)
	name   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	number = regexp.MustCompile(`^(?:[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|0x[0-9A-Fa-f]+[uU]?|[0-9]+[uU]?)`)
	quote  = regexp.MustCompile(`^[bB]?[rR]?(?:'''|"""|'|")`)
	punct  = regexp.MustCompile(`^(?:&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])`)
	escape = regexp.MustCompile(`^\\(?:[abfnrtv\\?"'` + "`" + `]|[xX][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-3][0-7]{2})`)
)

// tokens takes a text apart; the last token is of kind tokenEnd.
func tokens(text string) ([]token, error) {
	var out []token
	for at := 0; ; {
		at += len(blank.FindString(text[at:]))
		rest := text[at:]
		if rest == "" {
			return append(out, token{at: at}), nil
		}
		t := token{at: at}
		var err error
		if opening := quote.FindString(rest); opening != "" {
			t.kind = tokenText
			t.text, t.value, err = quoted(rest, opening)
		} else if t.text = number.FindString(rest); t.text != "" {
			t.kind = tokenNumber
			err = inRange(t.text)
		} else if t.text = name.FindString(rest); t.text != "" {
			if t.kind = tokenName; t.text == "in" {
				t.kind = tokenPunct
			}
		} else if t.text = punct.FindString(rest); t.text != "" {
			t.kind = tokenPunct
		} else {
			err = fmt.Errorf("%q begins nothing of the language", rest[:1])
		}
		if err != nil {
			return nil, fmt.Errorf("at %d: %w", at+1, err)
		}
		out, at = append(out, t), at+len(t.text)
	}
}

// quoted reads a text that begins with opening, and gives what it stands for.
func quoted(rest, opening string) (text, value string, err error) {
	end := strings.TrimLeft(opening, "bBrR")
	prefix := strings.ToLower(opening[:len(opening)-len(end)])
	raw, isBytes := strings.Contains(prefix, "r"), strings.Contains(prefix, "b")
	var b strings.Builder
	for at := len(opening); at < len(rest); {
		switch {
		case strings.HasPrefix(rest[at:], end):
			return rest[:at+len(end)], b.String(), nil
		case len(end) == 1 && (rest[at] == '\n' || rest[at] == '\r'):
			return "", "", fmt.Errorf("a text does not end before its line does")
		case rest[at] == '\\' && !raw:
			e := escape.FindString(rest[at:])
			if e == "" || isBytes && (e[1] == 'u' || e[1] == 'U') {
				return "", "", fmt.Errorf("a backslash begins no escape of the language")
			}
			one, ok := unescaped(e)
			if !ok {
				return "", "", fmt.Errorf("%s is no character", e)
			}
			b.WriteString(one)
			at += len(e)
		default:
			_, size := utf8.DecodeRuneInString(rest[at:])
			b.WriteString(rest[at : at+size])
			at += size
		}
	}
	return "", "", fmt.Errorf("a text has no end")
}

var letters = map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// unescaped gives the character that an escape stands for.
func unescaped(e string) (string, bool) {
	if one, ok := letters[e[1]]; ok {
		return one, true
	}
	digits, base := e[2:], 16
	switch {
	case e[1] >= '0' && e[1] <= '3':
		digits, base = e[1:], 8
	case len(e) == 2:
		return e[1:], true
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || !utf8.ValidRune(rune(n)) {
		return "", false
	}
	return string(rune(n)), true
}

// inRange checks that a number is one of 64 bits.
func inRange(text string) error {
	digits := strings.TrimRight(text, "uU")
	var err error
	switch {
	case strings.HasPrefix(text, "0x") && digits != text:
		_, err = strconv.ParseUint(digits[2:], 16, 64)
	case strings.HasPrefix(text, "0x"):
		_, err = strconv.ParseInt(digits[2:], 16, 64)
	case strings.ContainsAny(text, ".eE"):
		_, err = strconv.ParseFloat(text, 64)
	case digits != text:
		_, err = strconv.ParseUint(digits, 10, 64)
	default:
		_, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil {
		return fmt.Errorf("%s is too large", text)
	}
	return nil
}
