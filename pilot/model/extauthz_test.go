package model

import (
	"fmt"
	"strings"
	"testing"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

func TestStatusOnErrorIsEnvoys(t *testing.T) {
	for code := range 700 {
		_, listed := typev3.StatusCode_name[int32(code)]
		if _, ok := StatusOnError(fmt.Sprint(code)); ok != (listed && code != 0) {
			t.Errorf("%d: %v, Envoy has it: %v", code, ok, listed)
		}
	}
}

func TestProviderFaults(t *testing.T) {
	for _, tc := range []struct{ fields, want string }{
		{`"service": "a/b.c", "port": 80, "pathPrefix": "/x", "includeRequestHeadersInCheck": ["*", "x-*", "*-x", "X"]`, ""},
		{`"port": 80`, "service"},
		{`"service": "a/b/c", "port": 80`, "service"},
		{`"service": "a/*.c", "port": 80`, "service"},
		{`"service": "a"`, "port"},
		{`"service": "a", "port": 80, "timeout": "0s"`, "timeout"},
		{`"service": "a", "port": 80, "statusOnError": "ok"`, "statusOnError"},
		{`"service": "a", "port": 80, "pathPrefix": "x"`, "pathPrefix"},
		{`"service": "a", "port": 80, "includeRequestBodyInCheck": {}`, "includeRequestBodyInCheck.maxRequestBytes"},
		{`"service": "a", "port": 80, "headersToUpstreamOnAllow": ["a", "b c"]`, "headersToUpstreamOnAllow[1]"},
		{`"service": "a", "port": 80, "includeAdditionalHeadersInCheck": {"a": "b\nc"}`, "includeAdditionalHeadersInCheck[a]"},
	} {
		p := &meshconfig.MeshConfig_ExtensionProvider{}
		if err := protojson.Unmarshal([]byte(`{"envoyExtAuthzHttp": {`+tc.fields+`}}`), p); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range ProviderFaults(p) {
			got = append(got, strings.TrimPrefix(f.Field, "envoyExtAuthzHttp."))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", tc.fields, got, tc.want)
		}
	}
}
