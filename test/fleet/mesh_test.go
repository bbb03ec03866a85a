package fleet

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// namespace is where the services are.
const namespace = "shop"

// mesh is the configuration, one file for each service, and the backends behind it.
type mesh struct {
	t     testing.TB
	dir   string
	block string // the first two parts of the addresses on loopback that are this test's own
	round int
	pods  int // ever made
	all   map[string]*service
	// retired are backends that no file names any more; Envoys may.
	retired []*pod
}

// service is a service with its rules.
type service struct {
	name    string
	port    int
	pods    []*pod
	timeout int // of connecting, in seconds: a byte of each of its clusters
	weight  int // of the first subset, in percent
}

// pod is a backend.
type pod struct {
	name, address, version string
	port                   int
	server                 *http.Server
	done                   chan error
}

func newMesh(t testing.TB) *mesh {
	t.Helper()
	m := &mesh{t: t, dir: t.TempDir(), block: claimBlock(t), all: map[string]*service{}}
	t.Cleanup(func() {
		for _, s := range m.all {
			m.retired = append(m.retired, s.pods...)
		}
		for _, p := range m.retired {
			p.stop(t)
		}
	})
	m.put("mesh.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	return m
}

// claimBlock gives a part of loopback, "127.N", that no other test of the machine uses: who may
// listen on its last address has it.
func claimBlock(t testing.TB) string {
	t.Helper()
	for n := 100; n < 250; n++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.%d.255.254:9", n))
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return fmt.Sprintf("127.%d", n)
		}
	}
	t.Fatal("every part of loopback is in use")
	return ""
}

// put writes a file in one step.
func (m *mesh) put(name, text string) {
	m.t.Helper()
	part := filepath.Join(m.dir, "."+name)
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(m.dir, name)); err != nil {
		m.t.Fatal(err)
	}
}

// write puts all services down, with the number of the round.
func (m *mesh) write() {
	m.t.Helper()
	for name, s := range m.all {
		m.put(name+".yaml", s.yaml(m.round))
	}
}

// add makes a service with a backend for each version.
func (m *mesh) add(name string, port int) *service {
	s := &service{name: name, port: port, timeout: 1, weight: 50}
	s.pods = append(s.pods, m.pod(s, "v1"), m.pod(s, "v2"))
	m.all[name] = s
	return s
}

// remove takes a service away.
func (m *mesh) remove(name string) {
	m.t.Helper()
	m.retired = append(m.retired, m.all[name].pods...)
	delete(m.all, name)
	if err := os.Remove(filepath.Join(m.dir, name+".yaml")); err != nil {
		m.t.Fatal(err)
	}
}

// pod starts a backend of a service at an address of its own. Its port is one of two.
func (m *mesh) pod(s *service, version string) *pod {
	m.t.Helper()
	m.pods++
	p := &pod{
		name: fmt.Sprintf("%s-%d", s.name, m.pods), version: version, port: 8080 + m.pods%2,
		address: fmt.Sprintf("%s.%d.%d", m.block, 1+m.pods/200, 1+m.pods%200), done: make(chan error, 1),
	}
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", p.address, p.port))
	if err != nil {
		m.t.Fatal(err)
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.name) })}
	go func() { p.done <- p.server.Serve(l) }()
	return p
}

// stop ends a backend when its requests are answered.
func (p *pod) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		t.Errorf("backend %s: %v", p.name, err)
	}
	<-p.done
}

// move replaces one backend by another of the same version.
func (m *mesh) move(s *service, i int) {
	m.retired = append(m.retired, s.pods[i])
	s.pods[i] = m.pod(s, s.pods[i].version)
}

// sorted gives the services by name.
func (m *mesh) sorted() []*service {
	var out []*service
	for _, name := range slices.Sorted(maps.Keys(m.all)) {
		out = append(out, m.all[name])
	}
	return out
}

// host is the name that clients use.
func (s *service) host() string {
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", s.name, namespace, s.port)
}

// versions are those of the pods, in order.
func (s *service) versions() []string {
	var out []string
	for _, v := range []string{"v1", "v2", "v3"} {
		for _, p := range s.pods {
			if p.version == v {
				out = append(out, v)
				break
			}
		}
	}
	return out
}

// yaml gives a service with everything that belongs to it, so that all changes at once.
func (s *service) yaml(round int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {clusterIP: 10.96.%[3]d.%[4]d, selector: {app: %[1]s}, ports: [{name: http, port: %[5]d, targetPort: http}]}
`, s.name, namespace, s.port/250, s.port%250, s.port)
	for _, p := range s.pods {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app: %s, version: %s}}
spec: {serviceAccountName: default, containers: [{name: app, image: x, ports: [{name: http, containerPort: %d}]}]}
status: {podIP: %s, phase: Running, conditions: [{type: Ready, status: "True"}]}
`, p.name, namespace, s.name, p.version, p.port, p.address)
	}
	var subsets, routes []string
	versions := s.versions()
	for i, v := range versions {
		subsets = append(subsets, fmt.Sprintf("{name: %[1]s, labels: {version: %[1]s}}", v))
		weight := s.weight
		if i > 0 {
			weight = (100 - s.weight) / (len(versions) - 1)
		}
		if i == len(versions)-1 { // what is left of rounding
			weight = 100 - s.weight - weight*(len(versions)-2)
		}
		routes = append(routes, fmt.Sprintf("{destination: {host: %s, subset: %s}, weight: %d}", s.name, v, weight))
	}
	fmt.Fprintf(&b, `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: %[2]s}
spec: {host: %[1]s, trafficPolicy: {connectionPool: {tcp: {connectTimeout: %[3]ds}}}, subsets: [%[4]s]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  hosts: [%[1]s]
  http:
  - headers: {response: {set: {x-round: "%[5]d"}}}
    retries: {attempts: 0}
    route: [%[6]s]
`, s.name, namespace, s.timeout, strings.Join(subsets, ", "), round, strings.Join(routes, ", "))
	return b.String()
}
