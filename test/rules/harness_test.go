package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// interval is between the requests of a load.
const interval = 5 * time.Millisecond

// warmingTimeout is how long the server under test lets routes wait for a warming cluster.
const warmingTimeout = time.Second

// mesh is the product's server with a state that the test sets, a real Envoy, and a gate between.
type mesh struct {
	*envoytest.Envoy
	t        *testing.T
	engine   *push.Engine
	server   *xds.Server
	gate     *envoytest.Gate
	messages []xdstest.Message
	markers  int

	mu       sync.Mutex
	meddle   meddler
	seen     []*message
	link     *envoytest.Link // of the last message
	problems []model.Problem
}

// message is what passed the gate.
type message struct {
	*envoytest.Exchange
	typ     resource.Type
	verdict envoytest.Verdict
}

// meddler decides on a message, and may change it; it is called for one at a time.
type meddler func(*message) envoytest.Verdict

// newMesh starts server and Envoy with the first state of the mesh. meddle may be nil.
func newMesh(t *testing.T, meddle meddler, messages ...xdstest.Message) *mesh {
	t.Helper()
	m := newServer(t, meddle)
	m.set(messages...)
	m.Envoy = envoytest.Run(t, envoytest.Config{Node: "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local", Gate: m.gate})
	return m
}

// newServer starts the server, which has no state yet, and no Envoy.
func newServer(t *testing.T, meddle meddler) *mesh {
	t.Helper()
	m := &mesh{t: t, meddle: meddle}
	m.engine = push.New(push.Options{Report: func(p []model.Problem) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.problems = p
	}})
	m.server = xds.New(xds.Options{
		Source: m.engine, Logger: slog.New(slog.DiscardHandler),
		WarmingTimeout: warmingTimeout, RemovalGrace: 300 * time.Millisecond,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(xds.Codec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, m.server.Service(nil))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		m.server.Wait()
		<-done
	})
	m.gate = envoytest.NewGate(t, l.Addr().String(), envoytest.NewSecrets(t))
	m.gate.Filter(m.filter)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("messages:\n%s", m.transcript())
		}
	})
	return m
}

// filter records a message and has the test decide.
func (m *mesh) filter(x *envoytest.Exchange) envoytest.Verdict {
	url := x.Request.GetTypeUrl()
	if x.Response != nil {
		url = x.Response.GetTypeUrl()
	}
	typ, ok := resource.ByURL(url)
	if !ok {
		return envoytest.Pass
	}
	msg := &message{Exchange: x, typ: typ}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meddle != nil {
		msg.verdict = m.meddle(msg)
	}
	m.seen, m.link = append(m.seen, msg), x.Link
	return msg.verdict
}

// meddling sets what decides from now on, and forgets what passed before.
func (m *mesh) meddling(decide meddler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meddle, m.seen = decide, nil
}

// set makes the mesh's state these messages.
func (m *mesh) set(messages ...xdstest.Message) {
	m.t.Helper()
	m.messages = messages
	if err := m.engine.Apply(context.Background(), push.Commit{Translator: xdstest.Table(messages), Since: time.Now()}); err != nil {
		m.t.Fatal(err)
	}
}

// barrier returns when Envoy has taken all that the server had to say before: a cluster that needs
// nothing is added and arrives.
func (m *mesh) barrier() {
	m.t.Helper()
	m.markers++
	marker := fmt.Sprintf("marker-%d", m.markers)
	m.set(append(slices.Clone(m.messages), markerCluster(marker))...)
	m.eventually("the barrier arrives", func() bool { return m.active(marker) })
}

func (m *mesh) eventually(what string, ok func() bool) {
	m.t.Helper()
	envoytest.Eventually(m.t, what, ok)
}

// tell sends Envoy a response past the server.
func (m *mesh) tell(r *discoveryv3.DeltaDiscoveryResponse) {
	m.t.Helper()
	if err := m.last().Tell(r); err != nil {
		m.t.Fatal(err)
	}
}

// ask sends the server a request in Envoy's stead.
func (m *mesh) ask(r *discoveryv3.DeltaDiscoveryRequest) {
	m.t.Helper()
	if err := m.last().Ask(r); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) last() *envoytest.Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.link
}

// first gives the first such message that passed.
func (m *mesh) first(such func(*message) bool) *message {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.seen, such); i >= 0 {
		return m.seen[i]
	}
	m.t.Fatal("there is no such message")
	return nil
}

// before tells whether the first message of one kind passed before the first of another.
func (m *mesh) before(a, b func(*message) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, j := slices.IndexFunc(m.seen, a), slices.IndexFunc(m.seen, b)
	return i >= 0 && (j < 0 || i < j)
}

// reported gives the problems that the server found.
func (m *mesh) reported() []model.Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problems
}

// count tells how many of the messages that passed are such.
func (m *mesh) count(such func(*message) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, x := range m.seen {
		if such(x) {
			n++
		}
	}
	return n
}

// await waits until such a message has passed.
func (m *mesh) await(what string, such func(*message) bool) {
	m.t.Helper()
	m.eventually(what, func() bool { return m.count(such) > 0 })
}

// transcript shows the messages that passed, one a line.
func (m *mesh) transcript() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, x := range m.seen {
		fmt.Fprintln(&b, x)
	}
	return b.String()
}

// String shows a message.
func (x *message) String() string {
	if r := x.Request; r != nil {
		return fmt.Sprintf("> %s nonce=%q sub=%v unsub=%v initial=%v error=%q verdict=%d", x.typ, r.GetResponseNonce(),
			r.GetResourceNamesSubscribe(), r.GetResourceNamesUnsubscribe(), r.GetInitialResourceVersions(), r.GetErrorDetail().GetMessage(), x.verdict)
	}
	return fmt.Sprintf("< %s nonce=%q %v removed=%v verdict=%d", x.typ, x.Response.GetNonce(), x.names(), x.Response.GetRemovedResources(), x.verdict)
}

// names are those of a response's resources.
func (x *message) names() []string {
	var out []string
	for _, r := range x.Response.GetResources() {
		out = append(out, r.GetName())
	}
	return out
}

// response tells whether the message is a response of a type, with a resource of a name if one is given.
func response(typ resource.Type, names ...string) func(*message) bool {
	return func(x *message) bool {
		if x.Response == nil || x.typ != typ {
			return false
		}
		for _, n := range names {
			if !slices.Contains(x.names(), n) {
				return false
			}
		}
		return true
	}
}

func request(typ resource.Type) func(*message) bool {
	return func(x *message) bool { return x.Request != nil && x.typ == typ }
}

func ack(typ resource.Type) func(*message) bool {
	return func(x *message) bool {
		return request(typ)(x) && x.Request.GetResponseNonce() != "" && x.Request.GetErrorDetail() == nil
	}
}

func nack(typ resource.Type) func(*message) bool {
	return func(x *message) bool { return request(typ)(x) && x.Request.GetErrorDetail() != nil }
}

// drop takes such messages away.
func drop(such func(*message) bool) meddler {
	return func(x *message) envoytest.Verdict {
		if such(x) {
			return envoytest.Drop
		}
		return envoytest.Pass
	}
}

// once applies a verdict to the first such message only.
func once(verdict envoytest.Verdict, such func(*message) bool) meddler {
	done := false
	return func(x *message) envoytest.Verdict {
		if done || !such(x) {
			return envoytest.Pass
		}
		done = true
		return verdict
	}
}

// active tells whether a cluster is in use.
func (m *mesh) active(name string) bool {
	return m.Stat("cluster."+name+".membership_total") >= 0 && !m.warming(name)
}

// warming tells whether a cluster waits for something.
func (m *mesh) warming(name string) bool {
	return strings.Contains(m.Get("/config_dump?resource=dynamic_warming_clusters&mask=cluster.name"), `"`+name+`"`)
}

// serving tells whether a port of loopback takes connections.
func serving(port int) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		_ = c.Close() // it was there
		return true
	}
}

func url(port int) string { return fmt.Sprintf("http://127.0.0.1:%d/", port) }

// startLoad sends requests to a port of loopback.
func startLoad(t *testing.T, port int) *envoytest.Load {
	return envoytest.StartLoad(t, envoytest.Requests{URL: url(port), Interval: interval})
}

// from tells whether the last answer of a load came from a backend.
func from(l *envoytest.Load, backend string) func() bool {
	return func() bool { return l.Last().Body == backend }
}

// unfailing asserts that no request of a load failed.
func unfailing(t *testing.T, l *envoytest.Load) {
	t.Helper()
	l.Stop()
	if total, failed, last := l.Result(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed, the last with %v", failed, total, last.Err)
	}
}
