package jsontext_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/jsontext"
)

// read makes of a text what encoding/json makes of it, by way of a Reader.
func read(r *jsontext.Reader) any {
	switch r.Next() {
	case '{':
		out := map[string]any{}
		for r.Open(); r.More(); {
			name, _ := r.String()
			out[name] = read(r)
		}
		return out
	case '[':
		out := []any{}
		for r.Open(); r.More(); {
			out = append(out, read(r))
		}
		return out
	case '"':
		text, _ := r.String()
		return text
	}
	var out any
	_ = json.Unmarshal(r.Value(), &out)
	return out
}

// same compares what a Reader gives of a text with what encoding/json does.
func same(t *testing.T, text []byte) {
	t.Helper()
	var want any
	if json.Unmarshal(text, &want) != nil {
		for r := (&jsontext.Reader{Text: text}); r.Next() != 0; { // which comes to an end
			if len(r.Value()) == 0 {
				r.Open()
			}
		}
		return
	}
	r := &jsontext.Reader{Text: text}
	if got := read(r); !reflect.DeepEqual(got, want) || r.Next() != 0 {
		t.Errorf("%s: got %v at %d, want %v", text, got, r.Pos, want)
	}
	r = &jsontext.Reader{Text: text}
	if got := r.Value(); !bytes.Equal(got, bytes.TrimSpace(text)) {
		t.Errorf("%s: the value is %s", text, got)
	}
}

func texts() []string {
	return []string{
		`{}`, `[]`, `""`, `0`, `null`, ` { "a" : [ 1 , -2.5e3, true,false ,null ] , "b" : { "c" : "" } } `, "{\n\"a\":\n\"b\"\r\n,\t\"c\":[[],[{}],{\"d\":[]}]}",
		`"a\"b"`, `{"\u0061\\":"\\","}":"{[]}"}`, `["é\u00e9\ud83d\ude00", "<&>", ",:"]`, `[[[1],2],3]`, `{"a":{"a":{"a":1}},"b":2}`,
		`{`, `[`, `"`, `"\`, `{"a`, `{"a":`, `}`, `]]`, `[}`, `{1:2}`, `nul`, `,`, ``,
	}
}

func TestTextsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, text := range texts() {
		same(t, []byte(text))
	}
}

// Plain gives what stands for itself only.
func TestPlain(t *testing.T) {
	for text, want := range map[string]bool{`"a b"`: true, `""`: true, `"a\n"`: false, `"é"`: false, `5`: false, `{}`: false, `"a`: false, `"`: false, ``: false} {
		if got, ok := (&jsontext.Reader{Text: []byte(text)}).Plain(); ok != want || ok && string(got) != text[1:len(text)-1] {
			t.Errorf("%s: %q, %v", text, got, ok)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(same)
}
