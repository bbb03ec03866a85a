package explain

import (
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	echo "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// listening has one listener on port 80 of any address.
func listening(chain *listenerv3.FilterChain) *Config {
	return NewConfig([]proto.Message{&listenerv3.Listener{
		Name: "l", FilterChains: []*listenerv3.FilterChain{chain},
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: "0.0.0.0", PortSpecifier: &core.SocketAddress_PortValue{PortValue: 80},
		}}},
	}})
}

// Every request has an outcome that can be said, also where no filter decides: a chain without filters closes the
// connection (so what is left of one that the proxy refused), and of a filter that is not known it is said.
func TestNoAnswerWithoutOutcome(t *testing.T) {
	of := func(name string, m proto.Message) *listenerv3.FilterChain {
		return &listenerv3.FilterChain{Name: "c", Filters: []*listenerv3.Filter{{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, m)}}}}
	}
	for _, c := range []struct {
		of, want string
		chain    *listenerv3.FilterChain
		closed   bool
	}{
		{"a chain that denies", "the connection ends: no filter after filter chain c answers or forwards", &listenerv3.FilterChain{Name: "c"}, true},
		{"a filter that is not known", "no server is known to get it: what becomes of it is not known here: filter mine.echo is the last", of("mine.echo", &echo.Echo{}), false},
		{"a connection manager without a router", "the connection ends: no filter after", of("hcm", &hcm.HttpConnectionManager{}), true},
	} {
		a := listening(c.chain).Explain(Request{Way: Direct, Destination: anyPort80, Protocol: HTTP11, Host: "a", Path: "/"})
		got := a.Outcome.String()
		if !strings.HasPrefix(got, c.want) || !a.Outcome.Refused || a.Outcome.Closed != c.closed {
			t.Errorf("%s: %s (%+v), want %s", c.of, got, a.Outcome, c.want)
		}
	}
}
