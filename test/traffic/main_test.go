package traffic

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// extendedConnect has Go's server of HTTP/2 take an upgrade (RFC 8441). Go reads it when a program starts.
const extendedConnect = "http2xconnect=1"

// TestMain starts the tests again with the setting that stub servers need.
func TestMain(m *testing.M) {
	if !strings.Contains(os.Getenv("GODEBUG"), extendedConnect) {
		err := os.Setenv("GODEBUG", strings.TrimPrefix(os.Getenv("GODEBUG")+","+extendedConnect, ","))
		if err == nil {
			err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		fmt.Fprintln(os.Stderr, "the tests cannot be started again:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
