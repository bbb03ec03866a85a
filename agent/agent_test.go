package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/agent/status"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// TestMain lets the test program play an Envoy that runs until SIGTERM.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "fake-envoy" {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		<-term
		return
	}
	goleak.VerifyTestMain(m)
}

// fakes are parts around a fake Envoy whose drain takes some time.
func fakes(t *testing.T, port int, drain time.Duration, services ...service) *parts {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	return &parts{
		envoy: envoy.New(envoy.Config{
			Path: os.Args[0], Args: []string{"fake-envoy"}, Admin: "127.0.0.1:1",
			Drain: envoy.DrainPolicy{Wait: drain}, Logger: logger,
		}),
		status: status.New(status.Config{
			Address: fmt.Sprintf("127.0.0.1:%d", port), Logger: logger, Registry: prometheus.NewRegistry(),
		}),
		services: services,
	}
}

func TestServicesOutliveTheDrain(t *testing.T) {
	port := envoytest.FreePort(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	started := make(chan struct{})
	serviceEnded := make(chan time.Time, 1)
	const drain = 200 * time.Millisecond
	p := fakes(t, port, drain, service{"names", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		serviceEnded <- time.Now()
		return nil
	}})
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, nil) }()
	<-started
	if code, _ := ready(t, port); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
	stopped := time.Now()
	stop()
	for code, body := ready(t, port); code != http.StatusServiceUnavailable; code, body = ready(t, port) {
		if time.Since(stopped) > drain {
			t.Fatalf("while draining: %d %s", code, body)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if lived := (<-serviceEnded).Sub(stopped); lived < drain {
		t.Errorf("the service ended %v after the stop, before the drain of %v", lived, drain)
	}
}

func ready(t *testing.T, port int) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", port))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestFailingServiceIsNamed(t *testing.T) {
	cause := errors.New("port in use")
	for want, err := range map[string]error{"DNS proxy: port in use": cause, "DNS proxy: ended too early": nil} {
		other := service{"other", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		p := fakes(t, envoytest.FreePort(t), 0, other, service{"DNS proxy", func(context.Context) error { return err }})
		if got := p.run(t.Context(), nil); got == nil || got.Error() != want {
			t.Errorf("error %v, want %s", got, want)
		}
	}
}

func TestEnvoysFateIsTheAgents(t *testing.T) {
	p := fakes(t, envoytest.FreePort(t), 0)
	p.envoy = envoy.New(envoy.Config{Path: "/bin/sh", Args: []string{"-c", "exit 7"}, Logger: slog.New(slog.DiscardHandler)})
	var exit *envoy.ExitError
	if err := p.run(t.Context(), nil); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("error %v, want exit code 7", err)
	}
}

func TestHurry(t *testing.T) {
	hurry := make(chan struct{})
	started := make(chan struct{})
	p := fakes(t, envoytest.FreePort(t), time.Hour, service{"x", func(ctx context.Context) error { close(started); <-ctx.Done(); return nil }})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, hurry) }()
	<-started
	stop()
	close(hurry)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestErrorsBeforeAnythingStarts(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no root certificate": {func(c *Config) { c.Trust.XDSRoot = "/nowhere/root-cert.pem" }, "/nowhere/root-cert.pem"},
		"no CA root":          {func(c *Config) { c.Trust.CARoot = "/nowhere/ca.pem" }, "CA "},
		"discovery address":   {func(c *Config) { c.Proxy.DiscoveryAddress = "istiod" }, "control plane istiod: want host:port"},
		"no Envoy":            {func(c *Config) { c.Proxy.BinaryPath = "/nowhere/envoy" }, "/nowhere/envoy"},
		"no address":          {func(c *Config) { c.Node.IPs = nil }, "INSTANCE_IP"},
		"resolv.conf":         {func(c *Config) { c.DNS = &DNSConfig{ResolvConf: "/nowhere/resolv.conf"} }, "DNS proxy: "},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			tc.change(&cfg)
			if name == "no CA root" {
				cfg.Trust.CAAddress = "ca:15012"
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := Run(ctx, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestTokenIsReadAnew(t *testing.T) {
	cfg := Config{}
	if token, err := cfg.token(); token != "" || err != nil {
		t.Errorf("no file: %q, %v", token, err)
	}
	cfg.Trust.TokenFile = filepath.Join(t.TempDir(), "token")
	if token, err := cfg.token(); token != "" || err != nil {
		t.Errorf("absent file: %q, %v", token, err)
	}
	for _, want := range []string{"a", "b"} {
		if err := os.WriteFile(cfg.Trust.TokenFile, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := cfg.token(); token != want || err != nil {
			t.Errorf("token %q, %v, want %q", token, err, want)
		}
	}
}

func TestPlaintext(t *testing.T) {
	cfg := testConfig(t)
	for address, want := range map[string]bool{"x:15010": true, "x:15012": false} {
		if got := cfg.plaintext(address); got != want {
			t.Errorf("plaintext(%s) = %v", address, got)
		}
	}
	cfg.Proxy.Raw["controlPlaneAuthPolicy"] = "NONE"
	cfg.Proxy.DiscoveryAddress = "x:15012"
	if !cfg.plaintext("x:15012") || cfg.plaintext("ca:15012") {
		t.Error("controlPlaneAuthPolicy concerns the control plane, and it alone")
	}
}

func TestClusterDomain(t *testing.T) {
	for domain, want := range map[string]string{"default.svc.cluster.local": "cluster.local", "default.svc.x": "x", "vm.example": "vm.example"} {
		cfg := Config{}
		cfg.Node.Namespace, cfg.Node.Domain = "default", domain
		if got := cfg.clusterDomain(); got != want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
	}
}
