package build

import (
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Workloads share the filter chains in which they are alike: one more adds those of its own port only.
func TestWorkloadsShareFilterChains(t *testing.T) {
	chains := func(n int) int {
		d, _, seats := workloads(t, n)
		for _, s := range seats {
			s.now()
		}
		runtime.GC()
		defer runtime.KeepAlive(d)
		return d.builder.encoder.chains.Len()
	}
	// A sidecar's HTTP port has a chain for mutual TLS and one in the clear for what it receives. A service has the
	// chain of a listener for what is sent to it, if any. All that remains is the same for all.
	if few, many := chains(4), chains(40); many-few > 36*3 {
		t.Errorf("36 workloads more have %d filter chains more", many-few)
	}
}

// Chains of different workloads share their loggers and filters, and a listener has the bytes that it has without that.
func TestFilterChainsShareTheirElements(t *testing.T) {
	logger := func() ir.AccessLogger { return &ir.FileLog{Path: "/dev/stdout", Text: "%START_TIME%"} }
	listener := func(port uint32) *ir.Listener {
		chain := func(port uint32) *ir.FilterChain {
			return &ir.FilterChain{Match: ir.ChainMatch{DestinationPort: port}, Filters: []ir.NetworkFilter{&ir.HTTPConnectionManager{
				StatPrefix: "x", RouteConfigName: "r", Filters: []ir.HTTPFilter{&ir.RBAC{}, ir.Router{}}, AccessLog: []ir.AccessLogger{logger()},
			}}}
		}
		return &ir.Listener{Name: "l", Address: "10.0.0.1", Port: port, Chains: []*ir.FilterChain{chain(port), chain(port + 1)}, Default: chain(0), AccessLog: []ir.AccessLogger{logger()}}
	}
	e := newEncoder()
	first, again := e.elements.AccessLog(logger()), e.elements.AccessLog(logger())
	if filter, same := e.elements.HTTPFilter(&ir.RBAC{}), e.elements.HTTPFilter(&ir.RBAC{}); first != again || filter != same {
		t.Error("equal loggers, or equal filters, are made twice")
	}
	if first == e.elements.AccessLog(&ir.FileLog{Path: "/dev/stderr"}) {
		t.Error("another logger is the same")
	}
	for port := range uint32(3) {
		got, err := e.listener(listener(8000 + port))
		if err != nil {
			t.Fatal(err)
		}
		want, err := resource.New(resource.Listeners, "l", envoy.Listener(listener(8000+port)))
		if err != nil {
			t.Fatal(err)
		}
		has, err := got.Message()
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := want.Message()
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(has, wanted) {
			t.Errorf("got\n%v\nwant\n%v", has, wanted)
		}
	}
}
