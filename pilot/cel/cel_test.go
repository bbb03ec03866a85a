package cel

import (
	"strings"
	"testing"
)

// Envoy 1.40 was asked about each of these, in a listener of its own.
func TestExpressionsThatEnvoyRefuses(t *testing.T) {
	for _, text := range Refused {
		e, err := Parse(text)
		if err == nil && e.Unsupported() == "" {
			t.Errorf("%s passes", text)
		}
	}
}

func TestExpressionsThatEnvoyTakes(t *testing.T) {
	for _, text := range Taken {
		if e, err := Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if e.Unsupported() != "" {
			t.Errorf("%s: %s", text, e.Unsupported())
		}
	}
}

// What is written wrongly is told from what only Envoy cannot evaluate.
func TestWrongIsToldFromUnsupported(t *testing.T) {
	for text, unsupported := range map[string]bool{
		"response.code >=": false, "node.id == 'a'": true, "'a'.split(',') == []": true, "request.path.matches('[')": true,
		"string(response.code) == '200'": true, "request.headers[": false, "has(request)": false,
	} {
		if _, err := Parse(text); (err == nil) != unsupported {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A format is one line, ends with its only ")%", and means the same.
func TestFormat(t *testing.T) {
	for text, want := range map[string]string{
		"response.code":            "%CEL(response . code)%",
		"string(destination.port)": "%CEL(destination . port)%",
		"(response.code)%100 == 0": "%CEL(( response . code ) % 100 == 0)%",
		"'a)%b' // why":            `%CEL("a)\x25b")%`,
		"r'\\d%'":                  `%CEL("\\d\x25")%`,
		"'''a\n\"b'''":             `%CEL("a\n\"b")%`,
		"(request.path)\n== '/'":   "%CEL(( request . path ) == '/')%",
		"string(a.b)+string(a.c)":  "%CEL(string ( a . b ) + string ( a . c ))%",
		"b'%'==b'\\x25'":           `%CEL(b"\x25" == b'\x25')%`,
	} {
		e, err := ParseValue(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := e.Format()
		if got != want || strings.Index(got, ")%") != len(got)-2 || strings.Contains(got, "\n") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// No text makes the reader fail, or take long.
func FuzzParse(f *testing.F) {
	for _, text := range append(Taken, Refused...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseValue(text)
		if err != nil || e.Unsupported() != "" {
			return
		}
		again, err := Parse(strings.TrimSuffix(strings.TrimPrefix(e.Format(), "%CEL("), ")%"))
		if err != nil || again.Unsupported() != "" || again.Format() != e.Format() {
			t.Errorf("%q is written as %q, which is another one: %v", text, e.Format(), err)
		}
	})
}
