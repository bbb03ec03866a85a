package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/machine"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/jwks"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kube"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/names"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/selected"
	"github.com/pilothouse-mesh/pilothouse/pilot/status"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Names of the sources.
const (
	fileSource = "file"
	kubeSource = "kube"
)

// source delivers objects until its context ends.
type source interface {
	selected.Source
	Run(ctx context.Context, sink model.Sink) error
}

// sourceName names the source that the configuration asks for.
func (c *Config) sourceName() string {
	if len(c.ConfigDirs) > 0 {
		return fileSource
	}
	return kubeSource
}

func (c *Config) source() (source, error) {
	if c.sourceName() == fileSource {
		return file.New(c.ConfigDirs, file.Options{
			Name: fileSource, Lean: true, AllowEmpty: c.AllowEmpty, Logger: c.Logger,
		}), nil
	}
	return kube.New(c.Kube, kube.Options{
		Name: kubeSource, Revision: c.Revision, Namespace: c.Namespace, Condition: incluster.ConditionType(c.Revision), Logger: c.Logger,
	})
}

// plane is a running control plane.
type plane struct {
	cfg      Config
	registry *prometheus.Registry
	metrics  *metrics
	board    *status.Board
	located  *located // what is on it
	store    *store.Store
	mesh     *mesh
	engine   *push.Engine
	xds      *xds.Server

	objects incluster.Objects       // of the API server, nil for files
	cluster follower                // the same, nil for files
	applied applied                 // of what the cluster has
	access  *incluster.SecretAccess // nil for files

	machines *machine.Registry // those that are registered, and what they say of their applications

	keys  *jwks.Source  // of the tokens that RequestAuthentications name
	names *names.Source // of gateways between networks

	connections *connections  // of all ports
	idle        time.Duration // how long a connection without a stream stays
	handshake   time.Duration // how long one may take to begin

	committed chan struct{} // closed after the first commit is applied
	advanced  chan struct{} // holds one token after a commit was applied
	serving   atomic.Bool   // gRPC is open
	unhooked  atomic.Bool   // there are to be webhooks, which are not open yet
	callers   atomic.Pointer[auth.Authenticator]
	keeper    atomic.Pointer[ca.Keeper]
	injectors atomic.Pointer[injectors] // nil where no pods are injected
	written   atomic.Pointer[[]byte]    // the roots that namespaces and webhooks have; nil while this replica does not write them
}

// Run serves until ctx ends, then stops in order and returns nil. It opens HTTP first, which is
// not ready until the first commit is applied, and gRPC and the webhooks are open.
func Run(ctx context.Context, cfg Config) error {
	if len(cfg.ConfigDirs) == 0 && cfg.Kube == nil {
		return errors.New("there is nothing to serve: give a directory with --configDir, or a cluster with --kubeconfig")
	}
	return newPlane(cfg).run(ctx)
}

func (p *plane) run(ctx context.Context) error {
	from, err := p.cfg.source()
	if err != nil {
		return err
	}
	p.keepCluster(from)
	web, err := p.listenHTTP()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.serve(ctx) })
	group.Go(func() error { return p.store.Run(ctx) })
	p.store.Synced(trustSource) // the CA needs what the first commit says of the mesh
	group.Go(func() error { return from.Run(ctx, p.metrics.events.count(selected.New(p.machines).From(from))) })
	group.Go(func() error { return p.machines.Run(ctx) })
	group.Go(func() error { return p.keys.Run(ctx, p.store) })
	group.Go(func() error { return p.names.Run(ctx, p.store) })
	group.Go(func() error { return p.pump(ctx) })
	if p.cluster != nil {
		group.Go(func() error { return p.followApplied(ctx) })
	}
	group.Go(func() error { return p.engine.Run(ctx) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-p.committed:
			return p.serveGRPC(ctx)
		}
	})
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func newPlane(cfg Config) *plane {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := &plane{
		cfg: cfg, registry: registry, board: status.New(cfg.Logger), mesh: newMesh(), committed: make(chan struct{}), advanced: make(chan struct{}, 1),
		connections: newConnections(descriptors(), registry), idle: idleConnection, handshake: handshakeTime,
	}
	p.located = newLocated(p.board.Problems)
	p.metrics = newMetrics(registry, cfg.Version, p.board.Problems)
	p.keys = jwks.New(auth.KeySets{Client: jwks.NewClient(cfg.ClosePrivateKeySources)}, cfg.MinBundleRefresh, cfg.Logger)
	p.names = names.New(cmp.Or[names.Resolver](cfg.Resolver, &net.Resolver{}), cfg.Logger)
	p.store = store.New(store.Options{
		Domain: cfg.Domain, Cluster: cfg.ClusterID,
		Sources: []store.SourceOptions{{Name: cfg.sourceName()}, {Name: jwks.Name}, {Name: names.Name}, {Name: trustSource}},
		Report:  p.board.Report, Environment: cfg.Environment, Logger: cfg.Logger,
	})
	p.machines = machine.New(p.store, machine.Options{
		Write: p.machineWriter(), Logger: cfg.Logger, Name: cfg.Name, Grace: cfg.MachineGrace, Unregistered: cfg.UnregisteredMachines,
		Report: func(problems []model.Problem) { p.board.Report("machines", problems) },
	})
	p.engine = push.New(push.Options{
		MaxClasses: maxIdentityClasses, MaxAnonymousClasses: cfg.anonymousClasses(), MaxPeerClasses: cfg.peerClasses(),
		Registerer: registry, Logger: cfg.Logger, Report: func(problems []model.Problem) { p.board.Report("push", problems) },
		Object:  p.object,
		Stalled: cfg.Stalled,
	})
	p.xds = xds.New(xds.Options{
		Source: p.engine, Logger: cfg.Logger, Registerer: registry, RemovalGrace: cfg.RemovalGrace, Debug: p.answer,
		MayHaveSecrets: p.mayHaveSecrets, Health: p.machines.Health, Join: p.machines.Join, Ended: p.machines.Ended,
		CatchUp: p.catchUp, CatchUpTimeout: cfg.CatchUpTimeout,
		Proven:    xds.Limits{Streams: maxIdentityStreams, StreamNames: maxStreamNames, Names: maxIdentityNames},
		Anonymous: cfg.anonymousLimits(),
	})
	return p
}

// pump brings the store's commits into the views. Nothing is served before the keys of tokens and the names of gateways
// were tried once: proxies that have them from before would lose them for that long.
func (p *plane) pump(ctx context.Context) error {
	first, builder := true, build.New(build.Options{Settings: p.cfg.Settings})
	var snapshot *store.Snapshot
	var version uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.keys.Failures():
		case <-p.names.Tried():
		case c := <-p.store.Commits():
			if !c.Empty() {
				p.metrics.commit(c)
				version++
				commit := push.Built(builder, c)
				commit.Change, commit.Seen = p.follow(c, version), p.seen()
				if err := p.engine.Apply(ctx, commit); err != nil {
					return err
				}
				snapshot = c.Snapshot
				p.mesh.commit(c)
				p.keys.Want(snapshot.Reader(nil).KeySources())
				p.names.Want(snapshot.GatewayNames())
				select {
				case p.advanced <- struct{}{}:
				default: // a token is there already
				}
			}
			c.Applied()
		}
		if first && snapshot != nil {
			known := func(k model.Key) bool { return snapshot.Reader(nil).Object(k) != nil }
			if first = p.keys.Pending(known) || p.names.Pending(known); !first {
				close(p.committed)
			}
		}
	}
}

// ready tells whether all ports are open by which a Service leads to this replica. An API server that asked about a pod
// where the webhooks are not open yet would refuse it.
func (p *plane) ready() bool { return p.serving.Load() && !p.unhooked.Load() }

// debugOptions lets the debug pages look into the stages.
func (p *plane) debugOptions() debug.Options {
	out := debug.Options{
		Ready: p.ready, Connections: p.xds.Connections, Problems: p.located.Problems,
		Snapshot: func() debug.Snapshot {
			if s := p.store.Snapshot(); s != nil {
				return s
			}
			return nil
		},
		Roots: func() (ca.Heard, bool) {
			if k := p.keeper.Load(); k != nil {
				return p.heard(k), true
			}
			return ca.Heard{}, false
		},
		TLSChecks:    p.tlsChecks,
		Objects:      p.store.Objects,
		Head:         p.head,
		Authenticate: p.callerOf,
		Gatherer:     p.registry, Version: p.cfg.Version, ClusterID: p.cfg.ClusterID, Name: p.cfg.Name,
	}
	if p.cfg.Kube != nil {
		out.Replica, out.ControlPlane = p.cfg.replica(), p.cfg.controlPlane
	}
	return out
}

// head tells what decides about proxies, and about which pods have one, beside the objects.
func (p *plane) head(ctx context.Context) (inventory.Head, error) {
	out := inventory.Head{Domain: p.cfg.Domain, Cluster: p.cfg.ClusterID, Settings: p.cfg.Settings}
	var err error
	if i := p.injectors.Load(); i != nil {
		out.Injection, err = i.policy(ctx)
	}
	return out, err
}

// tlsChecks compares for the proxy of a pod, whether or not it is connected; kind is "" where it has none.
func (p *plane) tlsChecks(namespace, pod, host string, kind model.ProxyType) []resolve.TLSCheck {
	snapshot := p.store.Snapshot()
	r := snapshot.Reader(nil)
	class := resolve.Classify(r, &model.Proxy{
		Type: cmp.Or(kind, model.SidecarProxy), Name: pod, Namespace: namespace, DNSDomain: namespace + ".svc." + p.cfg.Domain, Interception: "REDIRECT",
	})
	return resolve.TLSChecks(r, &class, snapshot.AllServices(), host, kind == "")
}

// answer answers Istio's tools over ADS.
func (p *plane) answer(ctx context.Context, q xds.Question) (xds.Answer, error) {
	return debug.New(p.debugOptions()).Answer(ctx, q)
}

// oneSentence gives a listening error without the words of the system call.
func oneSentence(flag, addr string, err error) error {
	return fmt.Errorf("cannot listen on %s %s: %w; give another address with %s", flag[2:], addr, rootCause(err), flag)
}

func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
