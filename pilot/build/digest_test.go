package build

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Values that differ in any way have different digests, also where what they hold is the same text cut
// otherwise.
func TestDigestsTellValuesApart(t *testing.T) {
	second, zero := time.Second, time.Duration(0)
	values := []any{
		&ir.Listener{}, &ir.FilterChain{},
		ir.Listener{},
		&ir.Listener{Name: "ab"}, &ir.Listener{Name: "a", Address: "b"}, &ir.Listener{Address: "ab"},
		&ir.Listener{InspectTimeout: &second}, &ir.Listener{InspectTimeout: &zero},
		&ir.Listener{Port: 1}, &ir.Listener{QUIC: true}, &ir.Listener{BindToPort: true},
		&ir.Listener{Default: &ir.FilterChain{}}, &ir.Listener{Chains: []*ir.FilterChain{{}}}, &ir.Listener{Chains: []*ir.FilterChain{{}, {}}},
		&ir.Listener{Chains: []*ir.FilterChain{}}, &ir.Listener{Chains: []*ir.FilterChain{nil}},
		&ir.Listener{Filters: []ir.ListenerFilter{ir.TLSInspector{}}}, &ir.Listener{Filters: []ir.ListenerFilter{ir.HTTPInspector{}}},
		&ir.Listener{AccessLog: []ir.AccessLogger{&ir.FileLog{JSON: []ir.JSONField{}}}}, &ir.Listener{AccessLog: []ir.AccessLogger{&ir.FileLog{}}},
		&ir.FilterChain{Match: ir.ChainMatch{ServerNames: []string{"ab", "c"}}}, &ir.FilterChain{Match: ir.ChainMatch{ServerNames: []string{"a", "bc"}}},
		&ir.FilterChain{Match: ir.ChainMatch{ServerNames: []string{"a"}, TransportProtocol: "bc"}},
		&ir.PeerAddress{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, &ir.PeerAddress{Prefix: netip.MustParsePrefix("10.0.0.0/9")},
		&ir.PeerAddress{Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104")},
		map[string]string{"a": "b"},
		map[string]string{"a": "", "b": ""},
		map[string]string{"b": "a"},
		map[string]string{},
		map[string]string(nil),
		&ir.Tracing{Sampling: 0.5}, &ir.Tracing{Sampling: 0.25},
		[]byte("a"), []byte("ab"),
		[]int{1, -1},
		[]int{-1, 1},
	}
	d := &digester{}
	for i, a := range values {
		for _, b := range values[:i] {
			if d.of(a) == d.of(b) {
				t.Errorf("%#v has the digest of %#v", a, b)
			}
		}
	}
}

// A value's digest follows from what it says, not from where it is or from the order of a map.
func TestEqualValuesHaveOneDigest(t *testing.T) {
	value := func() any {
		return &ir.FilterChain{Match: ir.ChainMatch{ServerNames: []string{"a"}}, Filters: []ir.NetworkFilter{&ir.TCPProxy{
			Clusters: []ir.WeightedCluster{{Name: "x"}}, AccessLog: []ir.AccessLogger{&ir.BytesLog{Name: "bytes"}},
		}}}
	}
	d := &digester{}
	if first, second := d.of(value()), d.of(value()); first != second {
		t.Error("two equal chains have two digests")
	}
	labels := func(keys ...string) map[string]string {
		m := map[string]string{}
		for _, k := range keys {
			m[k] = k
		}
		return m
	}
	if d.of(labels("a", "b", "c", "d")) != d.of(labels("d", "c", "b", "a")) {
		t.Error("a map's digest depends on the order in which it was made")
	}
}

// What is encoded holds plain data only, of which a digest can be made.
func TestWhatIsEncodedIsPlainData(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type, string)
	visit = func(typ reflect.Type, path string) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			visit(typ.Elem(), path)
		case reflect.Map:
			if typ.Key().Kind() != reflect.String {
				t.Errorf("%s has a map whose keys are no texts", path)
			}
			visit(typ.Elem(), path)
		case reflect.Struct:
			for i := range typ.NumField() {
				visit(typ.Field(i).Type, path+"."+typ.Field(i).Name)
			}
		case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
			t.Errorf("%s is %s, which is no plain data", path, typ)
		default:
		}
	}
	for _, v := range []any{
		chainInput{},
		listenerInput{},
		patchInput{},
		ir.Cluster{},
		ir.LoadAssignment{},
		ir.VirtualHost{},
		ir.NameTable{},
		ir.TrustBundle{},
		ir.HTTPConnectionManager{},
		ir.TCPProxy{},
		ir.RBAC{},
		ir.ExtAuthz{},
		ir.TokenCheck{},
		ir.SNIForward{},
		ir.UpstreamGuard{},
		ir.FileLog{},
		ir.ServiceLog{},
		ir.OpenTelemetryLog{},
		ir.StatsLog{},
		ir.BytesLog{},
		ir.TapLog{},
		ir.PeerAddress{},
		ir.PeerState{},
	} {
		visit(reflect.TypeOf(v), reflect.TypeOf(v).String())
	}
}
