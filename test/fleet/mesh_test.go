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
	tcp     bool
	ruled   bool // it has a VirtualService and a DestinationRule
	timeout int  // of connecting, in seconds: a byte of each of its clusters
	weight  int  // of the first subset, in percent
}

// pod is a backend.
type pod struct {
	name, address, version string
	port                   int
	leaving                bool // nothing leads to its version any more; it goes in the next round
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
	s := &service{name: name, port: port, ruled: true, timeout: 1, weight: 50}
	s.pods = append(s.pods, m.pod(s, "v1"), m.pod(s, "v2"))
	m.all[name] = s
	return s
}

// remove takes a service away.
func (m *mesh) remove(name string) {
	m.t.Helper()
	m.retired = append(m.retired, m.all[name].pods...)
	delete(m.all, name)
	m.drop(name + ".yaml")
}

// drop removes a file.
func (m *mesh) drop(name string) {
	m.t.Helper()
	if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
		m.t.Fatal(err)
	}
}

// toggle puts a file where it is not, and removes it where it is; it tells which.
func (m *mesh) toggle(name, text string) string {
	m.t.Helper()
	if _, err := os.Stat(filepath.Join(m.dir, name)); err == nil {
		m.drop(name)
		return name + " goes. "
	}
	m.put(name, text)
	return name + " comes. "
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
	former := s.pods[i]
	s.pods[i] = m.pod(s, former.version)
	s.pods[i].leaving = former.leaving
}

// settle removes the backends that were leaving. Endpoints do not wait for configuration, so that
// who takes both away at once has requests sent to nobody for a moment.
func (m *mesh) settle() {
	for _, s := range m.all {
		s.pods = slices.DeleteFunc(s.pods, func(p *pod) bool {
			if p.leaving {
				m.retired = append(m.retired, p)
			}
			return p.leaving
		})
	}
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
