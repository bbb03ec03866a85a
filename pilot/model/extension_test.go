package model

import (
	"maps"
	"testing"
)

func TestParseExtensions(t *testing.T) {
	for text, want := range map[string]StickySplit{
		"header:X-User": {Header: "x-user"}, "cookie:User": {Cookie: "User"}, "": {}, "user": {}, "header:": {}, "query:x": {}, "Header:x": {},
	} {
		got, err := ParseStickySplit(text)
		if got != want || (err == nil) != (want != StickySplit{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]map[string]string{
		"a=b": {"a": "b"}, " a = b,c=* ": {"a": "b", "c": "*"}, "": nil, "a": nil, "a=": nil, "=b": nil, "a=a": nil, "a=b,a=c": nil, "a=b,": nil,
	} {
		got, err := ParseSubsetFallback(text)
		if !maps.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
