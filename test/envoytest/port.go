package envoytest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports of tests lie outside Linux's default range of ephemeral ports (32768 to 60999), or any outgoing
// connection of the machine could take one between FreePort and its use. They leave out Istio's
// (15000 and up) and Kubernetes' node ports (30000 and up).
const (
	firstPort = 16000
	lastPort  = 29999
)

// FreePort gives a TCP port of loopback that nothing listens on. It is the test's until it ends: no other
// call gives it meanwhile, also not in another process. An abstract Unix socket of the port's name keeps it,
// which vanishes with the process.
func FreePort(t testing.TB) int {
	t.Helper()
	start := rand.IntN(lastPort - firstPort + 1)
	for i := range lastPort - firstPort + 1 {
		port := firstPort + (start+i)%(lastPort-firstPort+1)
		kept, err := net.Listen("unix", fmt.Sprintf("@pilothouse-test-port-%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			kept.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { kept.Close() })
		return port
	}
	t.Fatal("no free port")
	return 0
}
