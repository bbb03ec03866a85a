// Package agent is the node side of the mesh, one beside each Envoy: it gives Envoy its bootstrap,
// its configuration (xdsproxy), its certificates (secret, sds) and the workload its names (dns),
// answers for both (status), and shares Envoy's fate. Run wires these parts; each knows nothing
// of the others.
package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
)

// Run runs the agent until its Envoy ends. When ctx ends Envoy is drained and stopped, while
// everything it needs goes on until then. It returns nil after an orderly end, an
// *envoy.ExitError when Envoy failed, else the error of the part that failed, by name.
func Run(ctx context.Context, cfg Config) error {
	version, err := envoy.Version(ctx, cfg.Proxy.BinaryPath)
	if err != nil {
		return err
	}
	cfg.Node.EnvoyVersion = version
	start, err := cfg.bootstrap()
	if err != nil {
		return err
	}
	if err := bootstrap.Write(cfg.bootstrapFile(), start); err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	p, err := build(cfg, newRegistry(), quit)
	if err != nil {
		return err
	}
	return p.run(ctx, cfg.Hurry)
}

// run starts the services and then Envoy. The services end after Envoy, not with ctx.
func (p *parts) run(ctx context.Context, hurry <-chan struct{}) error {
	listener, err := p.status.Listen(ctx)
	if err != nil {
		return err
	}
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, services := errgroup.WithContext(services)
	serve := func(s service) {
		group.Go(func() error {
			err := s.run(services)
			if err == nil && services.Err() == nil {
				err = errors.New("ended too early")
			}
			if err != nil && services.Err() == nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	serve(service{"status server", func(ctx context.Context) error { return p.status.Serve(ctx, listener) }})
	for _, s := range p.services {
		serve(s)
	}
	// Envoy ends with ctx or with the first service that fails.
	ctx, stopEnvoy := context.WithCancel(ctx)
	defer stopEnvoy()
	defer context.AfterFunc(services, stopEnvoy)()
	defer context.AfterFunc(ctx, p.status.Terminating)()
	group.Go(func() error {
		defer stop()
		err := p.envoy.Run(ctx, hurry)
		if exit := (*envoy.ExitError)(nil); p.again != nil && errors.As(err, &exit) && p.again(err) {
			err = p.envoy.Run(ctx, hurry)
		}
		return err
	})
	return group.Wait()
}

// bootstrap gives what Envoy starts with.
func (c Config) bootstrap() ([]byte, error) {
	c.Node.PilotSANs = []string{c.serverName(c.Proxy.DiscoveryAddress)}
	b := bootstrap.Config{
		Node:                    c.Node,
		Proxy:                   c.Proxy,
		XDSSocket:               c.xdsSocket(),
		SDSSocket:               c.sdsSocket(),
		TapSocket:               c.tapSocket(),
		HealthPort:              c.Envoy.HealthPort,
		PrometheusPort:          c.Envoy.PrometheusPort,
		SecureMetricsPort:       c.Envoy.SecureMetricsPort,
		SecureMergedMetricsPort: c.Envoy.SecureMergedMetricsPort,
		MetricsLocalOnly:        c.MetricsLocalOnly,
		StateOfTheWorld:         c.Envoy.StateOfTheWorld,
		OutlierLogPath:          c.Envoy.OutlierLogPath,
		LogAsJSON:               c.Envoy.LogAsJSON,
		MemoryLimit:             c.Envoy.MemoryLimit,
		AsksForPatches:          c.Envoy.Patches,
	}
	if path := c.Proxy.Bootstrap; path != "" {
		return bootstrap.Own(b, path)
	}
	return bootstrap.Build(b)
}

// newRegistry holds the agent's metrics. Go's and the process' own carry the agent's prefix: an
// application in Go has the plain names, and both are in one page.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	prometheus.WrapRegistererWithPrefix("istio_agent_", r).MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}
