// Package collector gives tests a real OpenTelemetry Collector, built from its modules (program). What it takes by
// OTLP it hands on, as it has understood it, to a server of the test.
package collector

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// config takes OTLP on two ports and sends it to a third, at once and unpacked.
const config = `
receivers:
  otlp: {protocols: {grpc: {endpoint: "127.0.0.1:%d"}, http: {endpoint: "127.0.0.1:%d"}}}
exporters:
  otlp_grpc: {endpoint: "127.0.0.1:%d", compression: none, tls: {insecure: true}, sending_queue: {enabled: false}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grpc]}
    logs: {receivers: [otlp], exporters: [otlp_grpc]}
`

// Collector is a running one.
type Collector struct {
	// GRPC and HTTP are its ports on loopback.
	GRPC, HTTP int
}

// Start runs one until the test ends. It hands on by gRPC, to a port on loopback.
func Start(t testing.TB, to int) Collector {
	t.Helper()
	c := Collector{GRPC: envoytest.FreePort(t), HTTP: envoytest.FreePort(t)}
	file := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, c.GRPC, c.HTTP, to), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(file + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Tool(t, "otelcol"), "--config", "file:"+file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of the collector:\n%s", text)
		}
		log.Close()
	})
	for _, port := range []int{c.GRPC, c.HTTP} {
		envoytest.Eventually(t, "the collector listens", func() bool {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return c
}
