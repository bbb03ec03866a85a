package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
)

// serveConfig is the environment's variable that makes the test's binary a control plane.
const serveConfig = "FLEET_CONTROL_PLANE"

// planePort is the control plane's; it is none of those that a mesh on this machine listens on, nor
// one that the kernel gives to a client.
const planePort = "19010"

// removalGrace is the control plane's, and more than Envoys drain.
const removalGrace = 2 * time.Second

// settings are what the control plane's process is told.
type settings struct{ ConfigDir, Addr string }

func TestMain(m *testing.M) {
	if text := os.Getenv(serveConfig); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve is the control plane, which ends by being killed.
func serve(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	return discovery.Run(context.Background(), discovery.Config{
		ConfigDirs: []string{s.ConfigDir}, Domain: "cluster.local", ClusterID: "Kubernetes", GRPCAddr: s.Addr,
		RemovalGrace: removalGrace, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// plane is a control plane that can be killed.
type plane struct {
	t        testing.TB
	settings settings
	log      *os.File

	mu      sync.Mutex
	process *os.Process   // nil while it is dead
	gone    chan struct{} // closed when the process has ended
	kills   int
}

// newPlane runs a control plane at an address that it finds free again after each kill.
func newPlane(t testing.TB, dir, addr string) *plane {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "plane")
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{t: t, settings: settings{dir, addr}, log: log}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of the control plane:\n%s", text)
		}
		log.Close()
	})
	p.start()
	return p
}

// start runs the control plane if it is dead. It is for one goroutine; kill is for any.
func (p *plane) start() {
	p.mu.Lock()
	running, gone := p.process != nil, p.gone
	p.mu.Unlock()
	if running {
		return
	}
	if gone != nil {
		<-gone // and its port is free
	}
	text, err := json.Marshal(p.settings)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveConfig+"="+string(text))
	cmd.Stderr = p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	gone = make(chan struct{})
	p.mu.Lock()
	p.process, p.gone = cmd.Process, gone
	p.mu.Unlock()
	go func() { // ends with the process, which kill sees to
		defer close(gone)
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.process == cmd.Process {
			p.t.Errorf("the control plane ended by itself: %v", err)
			p.process = nil
		}
	}()
}

// kill ends the control plane without a warning and returns when it is gone.
func (p *plane) kill() {
	p.mu.Lock()
	process, gone := p.process, p.gone
	p.process = nil
	if process != nil {
		p.kills++
		_ = process.Kill() // it may have ended by itself, which is reported
	}
	p.mu.Unlock()
	if gone != nil {
		<-gone
	}
}
