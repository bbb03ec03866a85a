package localnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/localnode/token"
)

// discovery runs the control plane as a process in the mesh's namespace, again when it ends.
type discovery struct {
	cfg Config
	dir state.Dir
	ns  network.Namespace
}

// The pause before the control plane is started again: none after a long run, then doubled.
const (
	restartBase = 250 * time.Millisecond
	restartMax  = 10 * time.Second
	longRun     = 10 * time.Second
)

func (d discovery) args() []string {
	args := []string{"discovery"}
	for _, dir := range d.cfg.Dirs {
		args = append(args, "--configDir", dir)
	}
	return append(append(args,
		"--configDir", d.dir.Objects(),
		// All addresses: the debug pages are open to the namespace's own loopback only.
		"--grpcAddr", d.cfg.PlaintextAddr, "--secureGRPCAddr", ":15012", "--httpAddr", ":8080", "--monitoringAddr", ":15014",
		"--domain", Domain, "--clusterID", "Kubernetes",
		"--caDir", d.dir.CA(), "--tokenJWKS", d.dir.JWKS(), "--tokenIssuer", token.Issuer, "--tokenAudience", "istio-ca",
	), d.cfg.DiscoveryArgs...)
}

// run keeps it running until ctx ends.
func (d discovery) run(ctx context.Context) error {
	log, err := os.OpenFile(d.dir.DiscoveryLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the control plane's log: %w", err)
	}
	defer log.Close()
	for pause := time.Duration(0); ; {
		began := time.Now()
		err := d.once(ctx, log)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) >= longRun {
			pause = 0
		}
		d.cfg.Events(Event{Kind: EventWarning, Event: pod.Event{
			Warning: true,
			Message: fmt.Sprintf("the control plane ended (%v) and is started again; its log is %s", err, d.dir.DiscoveryLog()),
		}})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(max(2*pause, restartBase), restartMax)
	}
}

// stopTimeout is how long the control plane has to end by itself.
const stopTimeout = 2 * time.Second

func (d discovery) once(ctx context.Context, log *os.File) error {
	cmd := exec.CommandContext(ctx, d.cfg.DiscoveryBinary, d.args()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := d.ns.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", d.cfg.DiscoveryBinary, err)
	}
	err := cmd.Wait()
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
