package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// patching is a control plane that has patches of the bootstrap: in the first call it fails, and it notes what agents
// say of themselves, and what they refuse.
type patching struct {
	*controlPlane
	patches *anypb.Any
	later   *anypb.Any // once an answer for patches has come; nil for none
	refused chan string

	mu    sync.Mutex
	calls int
	asked string
}

func (p *patching) StreamAggregatedResources(s discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.calls == 1 {
		return errors.New("not ready yet")
	}
	req, err := s.Recv()
	if err != nil {
		return err
	}
	p.asked = req.GetNode().GetId() + " " + req.GetNode().GetMetadata().GetFields()[bootstrappb.Asked].GetStringValue() + " " + req.GetTypeUrl()
	return s.Send(&discovery.DiscoveryResponse{TypeUrl: req.GetTypeUrl(), VersionInfo: "1", Nonce: "1", Resources: []*anypb.Any{p.patches}})
}

func (p *patching) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		res := &discovery.DeltaDiscoveryResponse{TypeUrl: req.GetTypeUrl(), Nonce: req.GetTypeUrl()}
		switch {
		case req.GetTypeUrl() == bootstrappb.Type && req.GetResponseNonce() != "": // an answer
			p.refused <- req.GetErrorDetail().GetMessage()
			if p.later == nil || req.GetResponseNonce() == "later" {
				continue
			}
			res.Nonce, res.Resources = "later", []*discovery.Resource{{Name: "bootstrap", Version: "2", Resource: p.later}}
		case req.GetResponseNonce() != "":
			continue
		case req.GetTypeUrl() == bootstrappb.Type:
			res.Resources = []*discovery.Resource{{Name: "bootstrap", Version: "1", Resource: p.patches}}
		case strings.HasSuffix(req.GetTypeUrl(), "v3.Listener"):
			res.Resources = []*discovery.Resource{{Name: "mtls", Version: "1", Resource: p.listener}}
		}
		if err := s.Send(res); err != nil {
			return err
		}
	}
}

func patchesOf(texts ...string) *bootstrappb.Patches {
	out := &bootstrappb.Patches{}
	for i, text := range texts {
		out.Patches = append(out.Patches, &bootstrappb.Patch{Name: fmt.Sprint(i), Json: text})
	}
	return out
}

// What EnvoyFilters put over the bootstrap is in force beside the user's own override, and what Envoy refuses keeps
// no proxy from running and is told.
func TestBootstrapPatches(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().(*net.TCPAddr).Port
	const value = `{"layered_runtime":{"layers":[{"name":"patched","static_layer":{"some.value":"5"}}]}}`
	for name, c := range map[string]struct {
		patches []string
		runtime bool // the value is in force
		refused string
	}{
		"taken":    {[]string{value}, true, ""},
		"refused":  {[]string{`{"static_resources":{"clusters":[{"name":"agent"}]},"layered_runtime":{"layers":[{"name":"patched","static_layer":{"some.value":"5"}}]}}`}, false, "its Envoy has started without: "},
		"no such":  {[]string{`{"bootstrap_extensions":[{"name":"x","typed_config":{"@type":"type.googleapis.com/no.Such"}}]}`}, false, "its Envoy has started without: "},
		"too long": {[]string{`{"node":{"id":"` + strings.Repeat("x", 128<<10) + `"}}`}, false, "its Envoy has started without: it has 131"},
		// One that is refused leaves the others in force.
		"one of two": {[]string{`{"static_resources":{"clusters":[{"name":"agent"}]}}`, value}, true, "its Envoy has started without: "},
		// What only a start shows, as an address that is taken.
		"unbound": {[]string{fmt.Sprintf(`{"static_resources":{"listeners":[{"name":"x","address":{"socket_address":{"address":"127.0.0.1","port_value":%d}},"filter_chains":[{"filters":[{"name":"echo","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}}]}]}]}}`, taken)}, false, "its Envoy has started without: envoy ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			authority, err := ca.New(ca.Options{})
			if err != nil {
				t.Fatal(err)
			}
			cfg := testConfig(t)
			plane := &patching{
				controlPlane: &controlPlane{t: t, authority: authority, listener: tlsListener(t, envoytest.FreePort(t))},
				patches:      pack(t, patchesOf(c.patches...)), refused: make(chan string, 1),
				later: pack(t, patchesOf(`{"static_resources":{"clusters":[{"name":"agent","connect_timeout":"3s"}]}}`)),
			}
			cfg.Proxy.DiscoveryAddress = plane.serveAs(plane)
			cfg.Trust.ServerName = "istiod.istio-system.svc"
			cfg.Trust.TokenFile = filepath.Join(cfg.Root, "token")
			write(t, cfg.Trust.TokenFile, bearer)
			write(t, cfg.Trust.XDSRoot, string(authority.RootPEM()))
			cfg.Envoy.Patches = true
			cfg.Envoy.Override = "layered_runtime: {layers: [{name: own, static_layer: {own.value: 7}}]}"

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, cfg) }()
			await(t, ended, fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", cfg.Envoy.HealthPort))
			runtime := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/runtime", cfg.Proxy.AdminPort))
			if !strings.Contains(runtime, `"own.value"`) || strings.Contains(runtime, `"some.value"`) != c.runtime {
				t.Errorf("runtime is %s", runtime)
			}
			if got := <-plane.refused; !strings.HasPrefix(got, c.refused) || (got == "") != (c.refused == "") {
				t.Errorf("the control plane was told %q, want %q", got, c.refused)
			} else {
				t.Log(got)
			}
			if got := <-plane.refused; !strings.HasPrefix(got, "its Envoy would start without: ") {
				t.Errorf("of patches that come later, and that Envoy would refuse, the control plane was told %q", got)
			}
			if want := "sidecar~127.0.0.1~reviews-1.default~default.svc.cluster.local true " + bootstrappb.Type; plane.asked != want {
				t.Errorf("asked %q, want %q", plane.asked, want)
			}
			stop()
			if err := <-ended; err != nil {
				t.Errorf("after an orderly stop: %v", err)
			}
		})
	}
}
