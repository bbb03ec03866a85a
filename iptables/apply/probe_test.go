package apply

import (
	"strings"
	"testing"
	"time"
)

// TestProbe says that the probe tells rules that redirect from none, for each family.
func TestProbe(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNetwork(t)
	p := Probe{Port: 15002, InboundPort: 15006, ProxyUID: 1337, IPv6: true, Timeout: 2 * time.Second}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.6") {
		t.Errorf("without rules: %v", err)
	}
	mustApply(t, injected())
	if err := p.Run(t.Context()); err != nil {
		t.Errorf("with rules: %v", err)
	}
	b, err := choose(6, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ipt.ClearChain("nat", "ISTIO_OUTPUT"); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "::6") {
		t.Errorf("without the rules of IPv6: %v", err)
	}
	p.IPv6 = false
	if err := p.Run(t.Context()); err != nil {
		t.Errorf("IPv4 alone: %v", err)
	}
	p.ProxyUID = 4000
	if err := p.Run(t.Context()); err == nil {
		t.Error("another user's call to itself counts as redirected")
	}
}
