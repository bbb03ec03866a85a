package fleet

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// proxy is an Envoy with the requests that go through it.
type proxy struct {
	*envoytest.Envoy
	config  envoytest.Config
	address string
	loads   map[string]*envoytest.Load // by service
	ended   []*envoytest.Load
}

// startProxy runs the n-th Envoy. Every second one is of another namespace than the services.
func startProxy(t testing.TB, gate *envoytest.Gate, address string, n int) *proxy {
	t.Helper()
	ns := []string{namespace, "team"}[n%2]
	c := envoytest.Config{Gate: gate, Node: fmt.Sprintf("sidecar~%s~client-%d.%s~%[3]s.svc.cluster.local", address, n, ns)}
	return &proxy{Envoy: envoytest.Run(t, c), config: c, address: address, loads: map[string]*envoytest.Load{}}
}

// call starts requests to a service.
func (p *proxy) call(t testing.TB, s *service, interval time.Duration) {
	p.loads[s.name] = envoytest.StartLoad(t, envoytest.Requests{URL: p.url(s), Host: s.host(), Interval: interval, Apart: s.tcp})
}

func (p *proxy) url(s *service) string { return fmt.Sprintf("http://%s:%d/", p.address, s.port) }

// hangUp ends the requests to a service.
func (p *proxy) hangUp(name string) {
	p.loads[name].Stop()
	p.ended = append(p.ended, p.loads[name])
	delete(p.loads, name)
}

// behind names what is not as the mesh is yet; empty where all is.
func (p *proxy) behind(m *mesh) string {
	for name, l := range p.loads {
		a, round := l.Last(), ""
		if s := m.all[name]; s.ruled && !s.tcp {
			round = strconv.Itoa(m.round)
		}
		if a.Body != name || a.Header.Get("x-round") != round {
			_, failed, last := l.Result()
			return fmt.Sprintf("%s answers %q in round %q (%d failed, %v)", name, a.Body, a.Header.Get("x-round"), failed, last.Err)
		}
	}
	if clusters, listeners := p.Warming(); clusters != 0 || listeners != 0 {
		return fmt.Sprintf("%d clusters and %d listeners are warming", clusters, listeners)
	}
	return ""
}

// reaches tells whether a service answers through the Envoy.
func (p *proxy) reaches(s *service) bool {
	r, err := http.NewRequest(http.MethodGet, p.url(s), nil)
	if err != nil {
		return false
	}
	r.Host = s.host()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// compare names the first thing in which a fresh Envoy is not the same.
func (p *proxy) compare(fresh *envoytest.Envoy) string {
	has, err := stateOf(p.Envoy)
	if err != nil {
		return err.Error()
	}
	gets, err := stateOf(fresh)
	if err != nil {
		return err.Error()
	}
	return has.differs(gets)
}

// adapt changes what an Envoy gets, always in the same way, so that its versions stay true: its
// listeners bind to its own address, since nothing is redirected to it, and its clusters wait for
// their endpoints without a limit in time.
func adapt(r *discoveryv3.DeltaDiscoveryResponse, address string) error {
	typ, _ := resource.ByURL(r.GetTypeUrl())
	for _, res := range r.GetResources() {
		var body proto.Message
		switch typ {
		case resource.Clusters:
			body = &clusterv3.Cluster{}
		case resource.Listeners:
			body = &listenerv3.Listener{}
		default:
			return nil
		}
		if err := res.GetResource().UnmarshalTo(body); err != nil {
			return fmt.Errorf("%s %s: %w", typ, res.GetName(), err)
		}
		switch b := body.(type) {
		case *clusterv3.Cluster:
			if eds := b.GetEdsClusterConfig().GetEdsConfig(); eds != nil {
				eds.InitialFetchTimeout = durationpb.New(0)
			}
		case *listenerv3.Listener:
			b.GetAddress().GetAddress().(*corev3.Address_SocketAddress).SocketAddress.Address = address
			b.BindToPort = nil
		}
		value, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", typ, res.GetName(), err)
		}
		res.GetResource().Value = value
	}
	return nil
}
