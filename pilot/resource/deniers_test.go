package resource

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// passing are filters that keep nothing from the application, and those that EnvoyFilters of the cases put in.
var passing = []string{
	"envoy.extensions.filters.http.buffer.v3.Buffer",
	"envoy.extensions.filters.http.cors.v3.Cors",
	"envoy.extensions.filters.http.cors.v3.CorsPolicy",
	"envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
	"envoy.extensions.filters.http.lua.v3.Lua",
	"envoy.extensions.filters.http.router.v3.Router",
	"envoy.extensions.filters.http.set_filter_state.v3.Config",
	"envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
}

// A filter that the control plane comes to make is one that denies, or is known here to be none: one that nobody thought
// of would let a former version in that denies less.
func TestEachFilterIsKnownToDenyOrNot(t *testing.T) {
	cases, err := filepath.Glob("../../test/translate/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	filter := regexp.MustCompile(`envoy\.extensions\.filters\.(http|network)\.[\w.]+\.v3\.\w+`)
	seen := map[string]bool{}
	for _, name := range cases {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range filter.FindAllString(string(text), -1) {
			if seen[typ] = true; !slices.Contains(deniers, typ) && !slices.Contains(passing, typ) {
				t.Errorf("%s has filter %s: add it to deniers, or to those that pass everything", name, typ)
			}
		}
	}
	if len(seen) < len(passing) {
		t.Errorf("only %d filters are in the cases: %v", len(seen), seen)
	}
}
