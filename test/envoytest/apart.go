package envoytest

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// apartVariable names the test that is run apart in a process.
const apartVariable = "PILOTHOUSE_TEST_APART"

// RedirectMark is the mark of sockets whose connections go to Envoy's inbound listener in a test that runs apart.
const RedirectMark = 1

// Apart runs a test once more in a process and a network namespace of its own, where every port is free, every
// address is the machine's own, and what carries RedirectMark goes to port 15006. It tells whether this is that
// process; the test has to return where it is not. The process has further variables in its environment. It needs
// root.
func Apart(t *testing.T, variables ...string) bool {
	t.Helper()
	if os.Getenv(apartVariable) == t.Name() {
		return true
	}
	const script = `ip link set lo up
ip route add local default dev lo
iptables -w -t nat -A OUTPUT -p tcp -m mark --mark 1 -j REDIRECT --to-ports 15006
exec "$@"`
	runtime.LockOSThread() // the child is killed when its thread ends
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(append(os.Environ(), apartVariable+"="+t.Name()), variables...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("apart (needs root): %v\n%s", err, out)
	}
	return false
}
