//go:build spire

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/agent"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

// programs is where `make spiretest` puts SPIRE.
const programs = "../../../.tools/spire"

// nobody is the user of a client, by which SPIRE tells it from the workload.
const nobody = 65534

const spireServer = `
server {
  bind_address = "127.0.0.1"
  bind_port = "8081"
  socket_path = "%[1]s/server.sock"
  trust_domain = "cluster.local"
  data_dir = "%[1]s"
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = "%[1]s/datastore.sqlite3" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
`

const spireAgent = `
agent {
  server_address = "127.0.0.1"
  server_port = "8081"
  socket_path = "%[2]s"
  trust_domain = "cluster.local"
  trust_bundle_path = "%[1]s/bundle.pem"
  data_dir = "%[1]s/agent"
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`

// spire is a server and an agent of SPIRE's, whose agent serves the Workload API at a pod's socket.
type spire struct {
	t           *testing.T
	dir, socket string
}

// startSpire runs both, with an identity of a minute's third for the workload, and a longer one for a client.
func startSpire(t *testing.T, root string) *spire {
	t.Helper()
	s := &spire{t: t, dir: t.TempDir(), socket: filepath.Join(root, agent.WorkloadSocket)}
	write(t, s.dir, map[string]string{"server.conf": fmt.Sprintf(spireServer, s.dir), "agent.conf": fmt.Sprintf(spireAgent, s.dir, s.socket)})
	for dir := range map[string]bool{root: true, filepath.Dir(s.socket): true} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	s.start("spire-server", "run", "-config", filepath.Join(s.dir, "server.conf"))
	envoytest.Eventually(t, "SPIRE's server is healthy", func() bool {
		_, err := s.ask("healthcheck")
		return err == nil
	})
	write(t, s.dir, map[string]string{"bundle.pem": s.server("bundle", "show")})
	const node = "spiffe://cluster.local/node"
	_, token, _ := strings.Cut(s.server("token", "generate", "-spiffeID", node), "Token: ")
	entry := func(id, user, seconds string) {
		s.server("entry", "create", "-parentID", node, "-spiffeID", id, "-selector", "unix:uid:"+user, "-x509SVIDTTL", seconds)
	}
	entry(workloadName, "0", "20")
	entry("spiffe://cluster.local/ns/default/sa/client", fmt.Sprint(nobody), "3600")
	s.start("spire-agent", "run", "-config", filepath.Join(s.dir, "agent.conf"), "-joinToken", strings.TrimSpace(token))
	envoytest.Eventually(t, "SPIRE's agent is healthy", func() bool {
		return exec.CommandContext(t.Context(), filepath.Join(programs, "spire-agent"), "healthcheck", "-socketPath", s.socket).Run() == nil
	})
	return s
}

// start runs a program until the test ends.
func (s *spire) start(name string, args ...string) {
	s.t.Helper()
	serve(s.t, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); ctx.Err() == nil {
			return fmt.Errorf("%s ended: %w (make spiretest builds it)", name, err)
		}
		return nil
	})
}

// server has the server do something.
func (s *spire) server(args ...string) string {
	s.t.Helper()
	out, err := s.ask(args...)
	if err != nil {
		s.t.Fatalf("spire-server %v: %v\n%s", args, err, out)
	}
	return out
}

func (s *spire) ask(args ...string) (string, error) {
	args = append(args, "-socketPath", filepath.Join(s.dir, "server.sock"))
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(programs, "spire-server"), args...).CombinedOutput()
	return string(out), err
}

// client gives the certificate of the client, which asks for it by SPIRE's own program, and the roots.
func (s *spire) client() (tls.Certificate, *x509.CertPool) {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		s.t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(programs, "spire-agent"))
	if err != nil {
		s.t.Fatal(err)
	}
	own := filepath.Join(dir, "spire-agent") // the checkout may be closed to others
	if err := os.WriteFile(own, program, 0o755); err != nil {
		s.t.Fatal(err)
	}
	envoytest.Eventually(s.t, "SPIRE's agent knows of the client", func() bool {
		cmd := exec.CommandContext(s.t.Context(), own, "api", "fetch", "x509", "-socketPath", s.socket, "-write", dir)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd.Run() == nil
	})
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "svid.0.pem"), filepath.Join(dir, "svid.0.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "bundle.0.pem"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(text) {
		s.t.Fatalf("SPIRE's roots: %v", err)
	}
	return pair, roots
}

// A pod at whose socket a real SPIRE agent serves the Workload API has its identity from there, and follows its
// renewal. SPIRE's roots count, and not those of the mesh.
func TestIdentityBySPIRE(t *testing.T) {
	if !envoytest.Apart(t) {
		return
	}
	p := newPod(t, nil)
	s := startSpire(t, p.root)
	p.run()
	client, roots := s.client()
	p.taken("a client with an identity of SPIRE's", client, true)
	first, err := p.call(client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Verify(x509.VerifyOptions{Roots: roots}); err != nil || len(first.URIs) != 1 || first.URIs[0].String() != workloadName {
		t.Errorf("the workload is %v, %v", first.URIs, err)
	}
	if _, err := p.call(identitytest.Signed(t, p.own, "default", "client")); err == nil {
		t.Error("a client is taken whose certificate is of the mesh's CA")
	}
	envoytest.Eventually(t, "the workload shows a renewed certificate", func() bool {
		next, err := p.call(client)
		return err == nil && next.SerialNumber.Cmp(first.SerialNumber) != 0
	})
}
