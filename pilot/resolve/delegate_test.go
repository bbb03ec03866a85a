package resolve

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"
)

// A match of a delegate's rule counts only where it can hold nowhere but within the delegating rule's.
func TestLiesIn(t *testing.T) {
	for _, c := range []struct {
		root, own string
		want      bool
	}{
		{`{}`, `{}`, true},
		{`{"uri":{"prefix":"/a"}}`, `{}`, true},
		{`{}`, `{"uri":{"regex":".*"}}`, true},
		{`{"uri":{"prefix":"/a"}}`, `{"uri":{"prefix":"/a/b"}}`, true},
		{`{"uri":{"prefix":"/a/b"}}`, `{"uri":{"prefix":"/a"}}`, false},
		{`{"uri":{"prefix":"/a"}}`, `{"uri":{"exact":"/ab"}}`, true},
		{`{"uri":{"prefix":"/a"}}`, `{"uri":{"exact":"/b"}}`, false},
		{`{"uri":{"exact":"/a"}}`, `{"uri":{"exact":"/a"}}`, true},
		{`{"uri":{"exact":"/a"}}`, `{"uri":{"prefix":"/a"}}`, false},
		{`{"uri":{"prefix":"/a"}}`, `{"uri":{"regex":"/a.*"}}`, false},
		{`{"uri":{"regex":"/a"}}`, `{"uri":{"regex":"/a"}}`, false},
		{`{"ignoreUriCase":true}`, `{}`, false},
		{`{"scheme":{"exact":"http"}}`, `{"scheme":{"exact":"https"}}`, false},
		{`{"method":{"exact":"GET"}}`, `{"method":{"exact":"PUT"}}`, false},
		{`{"authority":{"exact":"a"}}`, `{"authority":{"exact":"b"}}`, false},
		{`{"headers":{"x":{"exact":"1"}}}`, `{"headers":{"x":{"exact":"2"}}}`, false},
		{`{"headers":{"x":{"exact":"1"}}}`, `{"headers":{"y":{"exact":"2"}}}`, true},
		{`{"withoutHeaders":{"x":{"exact":"1"}}}`, `{"withoutHeaders":{"x":{"exact":"2"}}}`, false},
		{`{"queryParams":{"x":{"exact":"1"}}}`, `{"queryParams":{"x":{"exact":"2"}}}`, false},
		{`{"port":80}`, `{"port":81}`, false},
		{`{"port":80}`, `{}`, true},
		{`{"sourceLabels":{"a":"1"}}`, `{"sourceLabels":{"a":"2"}}`, false},
		{`{"sourceLabels":{"a":"1"}}`, `{"sourceLabels":{"b":"2"}}`, true},
		{`{"sourceNamespace":"a"}`, `{"sourceNamespace":"b"}`, false},
		{`{"sourceNamespace":"a"}`, `{}`, false},
		{`{}`, `{"sourceNamespace":"a"}`, true},
		{`{"gateways":["mesh"]}`, `{"gateways":["a/b"]}`, false},
		{`{"gateways":["mesh","a/b"]}`, `{"gateways":["a/b"]}`, true},
	} {
		if got := liesIn(matchOf(t, c.own), matchOf(t, c.root)); got != c.want {
			t.Errorf("%s in %s: %v", c.own, c.root, got)
		}
	}
}

func matchOf(t *testing.T, text string) *networking.HTTPMatchRequest {
	t.Helper()
	out := &networking.HTTPMatchRequest{}
	if err := protojson.Unmarshal([]byte(text), out); err != nil {
		t.Fatal(err)
	}
	return out
}
