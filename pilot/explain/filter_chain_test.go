package explain

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// A chain without a name is named by its place, also where it is for what no other chain matches.
func TestChainName(t *testing.T) {
	other, rest := &listenerv3.FilterChain{}, &listenerv3.FilterChain{}
	l := &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{other}, DefaultFilterChain: rest}
	if got := chainName(l, other); got != "l[0]" {
		t.Errorf("the first chain is %s, want l[0]", got)
	}
	if got := chainName(l, rest); got != "l[default]" {
		t.Errorf("the default chain is %s, want l[default]", got)
	}
}
