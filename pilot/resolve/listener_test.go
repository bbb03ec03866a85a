package resolve

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Envoy refuses a listener in which one connection has two chains.
func TestDistinctChains(t *testing.T) {
	chain := func(name string, m ir.ChainMatch) *ir.FilterChain { return &ir.FilterChain{Name: name, Match: m} }
	got := distinctChains([]*ir.FilterChain{
		chain("a", ir.ChainMatch{ServerNames: []string{"x", "y"}}),
		chain("b", ir.ChainMatch{ServerNames: []string{"y", "z"}}),
		chain("c", ir.ChainMatch{ServerNames: []string{"x"}}),
		chain("d", ir.ChainMatch{DestinationPrefixes: []string{"10.0.0.0/8", "10.1.0.0/16"}}),
		chain("e", ir.ChainMatch{DestinationPrefixes: []string{"10.1.0.0/16"}}),
		chain("f", ir.ChainMatch{DestinationPrefixes: []string{"10.1.0.0/16"}, ServerNames: []string{"x"}}),
		chain("g", ir.ChainMatch{TransportProtocol: ir.TransportTLS}),
		chain("h", ir.ChainMatch{}),
		chain("i", ir.ChainMatch{}),
	})
	var names []string
	for _, c := range got {
		names = append(names, c.Name+strings.Join(c.Match.ServerNames, ""))
	}
	if want := []string{"axy", "bz", "d", "fx", "g", "h"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// What an inbound port accepts is decided by protocol and mode alone.
func TestInboundKinds(t *testing.T) {
	for _, c := range []struct {
		protocol  string
		mode      ir.MTLSMode
		plaintext bool // some chain takes bytes in the clear
		mutual    bool // some chain terminates mutual TLS
	}{
		{"HTTP", ir.MTLSStrict, false, true},
		{"TCP", ir.MTLSStrict, false, true},
		{"", ir.MTLSStrict, false, true},
		{"HTTP", ir.MTLSPermissive, true, true},
		{"TCP", ir.MTLSPermissive, true, true},
		{"", ir.MTLSPermissive, true, true},
		{"HTTP", ir.MTLSDisable, true, false},
		{"TCP", ir.MTLSDisable, true, false},
		{"", ir.MTLSDisable, true, false},
	} {
		in := inbound{protocol: protocolOf(c.protocol), mtls: c.mode}
		var plaintext, mutual bool
		for _, k := range in.kinds() {
			plaintext = plaintext || k.transport != ir.TransportTLS
			mutual = mutual || k.mutual
			if k.mutual && k.transport != ir.TransportTLS {
				t.Errorf("%s %v: mutual TLS on transport %q", c.protocol, c.mode, k.transport)
			}
		}
		if plaintext != c.plaintext || mutual != c.mutual {
			t.Errorf("%s %v: plaintext %v, mutual TLS %v", c.protocol, c.mode, plaintext, mutual)
		}
	}
}

func TestMeshLog(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		want       *ir.FileLog
		reason     string
	}{
		{"off", "", nil, ""},
		{"a directory that may be missing", "accessLogFile: /nowhere/at/all.log", nil, "/dev/stdout"},
		{"a directory", "accessLogFile: /etc/istio/proxy/", nil, "/dev/stdout"},
		{"a file beside the proxy's", "accessLogFile: /etc/istio/proxy/a.log", &ir.FileLog{Path: "/etc/istio/proxy/a.log", Text: defaultLogFormat}, ""},
		{"text", "accessLogFile: /dev/stdout", &ir.FileLog{Path: "/dev/stdout", Text: defaultLogFormat}, ""},
		{"own text", "{accessLogFile: /dev/stdout, accessLogFormat: '%RESPONSE_CODE%'}", &ir.FileLog{Path: "/dev/stdout", Text: "%RESPONSE_CODE%\n"}, ""},
		{"broken text", "{accessLogFile: /dev/stdout, accessLogFormat: '100%'}", &ir.FileLog{Path: "/dev/stdout", Text: defaultLogFormat}, "none"},
		{"JSON", "{accessLogFile: /dev/stdout, accessLogEncoding: JSON}", &ir.FileLog{Path: "/dev/stdout", JSON: defaultLogFields}, ""},
		{
			"own JSON", `{accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: '{"b": "%RESPONSE_CODE%", "a": {"c": "d"}}'}`,
			&ir.FileLog{Path: "/dev/stdout", JSON: []ir.JSONField{
				{Name: "a", Fields: []ir.JSONField{{Name: "c", Format: "d"}}}, {Name: "b", Format: "%RESPONSE_CODE%"},
			}}, "",
		},
		{"broken JSON", "{accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: '{'}", &ir.FileLog{Path: "/dev/stdout", JSON: defaultLogFields}, "does not parse"},
	} {
		got, _, reason := meshLog(parseMesh(t, c.yaml))
		if diff := cmp.Diff(c.want, got); diff != "" || !strings.Contains(reason, c.reason) || (reason == "") != (c.reason == "") {
			t.Errorf("%s: reason %q, difference %s", c.name, reason, diff)
		}
	}
}
