package localnode

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
)

// PreflightError says what the machine lacks and what to do about it.
type PreflightError struct {
	Missing string
	Fix     string
}

// Error gives one sentence.
func (e *PreflightError) Error() string { return e.Missing + "; " + e.Fix }

// PreflightExitCode is the exit code of a program that this machine cannot serve.
const PreflightExitCode = 3

// debianPackage names the package of each program that a mesh starts.
var debianPackage = map[string]string{
	"containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables",
	"iptables-restore": "iptables", "nsenter": "util-linux", "unshare": "util-linux",
}

// Preflight tries what Up needs: to be root, its programs, a network namespace with a mount, the
// owner match and address translation of iptables in it.
func Preflight(ctx context.Context, cfg Config) error {
	if os.Geteuid() != 0 {
		return &PreflightError{"running pods needs root", "run it again with sudo"}
	}
	if err := checkPrograms(); err != nil {
		return err
	}
	for _, img := range cfg.Images {
		if _, err := os.Stat(img); err != nil {
			return &PreflightError{fmt.Sprintf("image tarball %s cannot be read (%v)", img, err), "run `make images`"}
		}
	}
	if cfg.DiscoveryBinary != "" {
		if _, err := exec.LookPath(cfg.DiscoveryBinary); err != nil {
			return &PreflightError{fmt.Sprintf("the control plane %s is not there", cfg.DiscoveryBinary), "run `make build`"}
		}
	}
	if err := tryMount(); err != nil {
		return err
	}
	return tryNetwork(ctx)
}

func checkPrograms() error {
	var missing []string
	packages := map[string]bool{}
	for program, pkg := range debianPackage {
		if _, err := exec.LookPath(program); err != nil && !packages[pkg] {
			packages[pkg] = true
			missing = append(missing, pkg)
		}
	}
	if _, err := os.Stat(filepath.Join(runtime.PluginDir, "ptp")); err != nil {
		missing = append(missing, "containernetworking-plugins")
	}
	if len(missing) == 0 {
		return nil
	}
	line := "apt-get install -y " + strings.Join(missing, " ")
	return &PreflightError{strings.Join(missing, ", ") + " is missing", "run `" + line + "`"}
}

func tryMount() error {
	dir, err := os.MkdirTemp("", "pilothouse-preflight-")
	if err != nil {
		return &PreflightError{fmt.Sprintf("no temporary directory can be made (%v)", err), "free some space or set TMPDIR"}
	}
	defer os.Remove(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return &PreflightError{fmt.Sprintf("nothing can be mounted (%v)", err), "run it outside of the container, or in a privileged one"}
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		return fmt.Errorf("unmount the preflight's tmpfs: %w", err)
	}
	return nil
}

// preflightRules use every kernel feature that a mesh's namespace and its pods use.
const preflightRules = `*nat
-A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN
-A OUTPUT -p tcp -d 10.0.0.1/32 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.2:80
-A OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A POSTROUTING -s 10.0.0.2/32 -d 10.0.0.2/32 -j MASQUERADE
COMMIT
*filter
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
`

func tryNetwork(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "pilothouse-preflight-")
	if err != nil {
		return &PreflightError{fmt.Sprintf("no temporary directory can be made (%v)", err), "free some space or set TMPDIR"}
	}
	defer os.Remove(dir)
	ns := network.Namespace{Name: fmt.Sprintf("ph-preflight-%d", os.Getpid()), File: filepath.Join(dir, "netns")}
	if err := ns.Create(); err != nil {
		return &PreflightError{fmt.Sprintf("no network namespace can be made (%v)", err), "run it outside of the container, or in a privileged one"}
	}
	defer func() {
		if delErr := ns.Delete(); err == nil && delErr != nil {
			err = delErr
		}
	}()
	if err := ns.Restore(ctx, []byte(preflightRules)); err != nil {
		return &PreflightError{fmt.Sprintf("iptables cannot redirect traffic (%v)", err), "load the kernel modules of netfilter (nf_nat, xt_owner, xt_REDIRECT, xt_statistic)"}
	}
	return nil
}
