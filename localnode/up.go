package localnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	stdruntime "runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pilothouse-mesh/pilothouse/agent/dns/wire"
	"github.com/pilothouse-mesh/pilothouse/localnode/dns"
	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/localnode/token"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// sweepTimeout is how long the final cleaning may take; it goes on when ctx has ended.
const sweepTimeout = 30 * time.Second

// Up runs a mesh until ctx ends, then takes everything down. What a mesh of that name, whose
// process was killed, has left is taken away first.
func Up(ctx context.Context, cfg Config) (err error) {
	if err := cfg.complete(); err != nil {
		return err
	}
	dir, err := state.NewDir(cfg.StateRoot, cfg.Name)
	if err != nil {
		return err
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if _, readErr := dir.ReadRecord(); readErr == nil {
		if err := sweep(ctx, dir); err != nil {
			return fmt.Errorf("clean up after a former run of mesh %s: %w", cfg.Name, err)
		}
		// The directory is gone, and with it the file that carries the lock.
		if err := lock.Release(); err != nil {
			return err
		}
		if lock, err = dir.Lock(); err != nil {
			return err
		}
	}
	defer func() {
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTimeout)
		defer cancel()
		err = errors.Join(err, sweep(cleanCtx, dir))
	}()
	m := &upRun{cfg: cfg, dir: dir, ns: namespaceFor(dir)}
	if err := m.prepare(); err != nil {
		return err
	}
	return m.run(ctx)
}

// upRun is one run of Up.
type upRun struct {
	cfg Config
	dir state.Dir
	ns  network.Namespace
	rec state.Record
}

// prepare makes directories, mount, namespace and link. The record of each is written before it.
func (m *upRun) prepare() error {
	for _, d := range []string{m.dir.Objects(), m.dir.CA(), m.dir.Memory(), m.dir.Pods(), m.dir.Logs()} {
		if err := state.Private(d); err != nil {
			return fmt.Errorf("make the mesh's directories: %w", err)
		}
	}
	// A mesh without a pod and without a Service is none that lost its disk.
	if err := os.WriteFile(filepath.Join(m.dir.Objects(), file.AllowEmptyFile), nil, 0o644); err != nil {
		return fmt.Errorf("make the mesh's directories: %w", err)
	}
	err := state.Exclusive(m.cfg.StateRoot, func() error {
		used, err := network.InUse()
		if err != nil {
			return err
		}
		if m.rec.Plan, err = network.ChoosePlan(append(used, m.otherMeshes()...)); err != nil {
			return err
		}
		m.rec.HostLink = network.HostLink(m.cfg.Name)
		// What is recorded is taken away in the end, so it must not be somebody else's.
		if err := m.checkFree(); err != nil {
			return err
		}
		return m.dir.WriteRecord(m.rec)
	})
	if err != nil {
		return err
	}
	if err := state.MountTmpfs(m.dir.Memory(), syscall.MS_NOSUID|syscall.MS_NODEV); err != nil { // for tokens
		return err
	}
	if err := m.ns.Create(); err != nil {
		return err
	}
	if m.rec.NetNS, err = m.ns.ID(); err != nil {
		return err
	}
	if err := m.dir.WriteRecord(m.rec); err != nil {
		return err
	}
	return m.rec.Plan.Connect(m.ns, m.rec.HostLink, m.cfg.Egress)
}

// checkFree tells whether the names that the mesh wants are free on the machine. They are not where
// a mesh of the same name has another state root.
func (m *upRun) checkFree() error {
	const hint = "is it of a mesh of this name with another --state-root? If not, remove it"
	if m.ns.Taken() {
		return fmt.Errorf("network namespace %s exists already; %s", m.ns.Name, hint)
	}
	if has, err := network.HasLink(m.rec.HostLink); err != nil || has {
		return cmp.Or(err, fmt.Errorf("link %s exists already; %s", m.rec.HostLink, hint))
	}
	return nil
}

// otherMeshes gives the blocks of meshes that may not have made their routes yet.
func (m *upRun) otherMeshes() []netip.Prefix {
	names, err := os.ReadDir(m.cfg.StateRoot)
	if err != nil {
		return nil
	}
	var used []netip.Prefix
	for _, n := range names {
		if r, err := (state.Dir{Root: m.cfg.StateRoot, Name: n.Name()}).ReadRecord(); err == nil && n.Name() != m.cfg.Name {
			used = append(used, r.Plan.Block)
		}
	}
	return used
}

// run starts the mesh's parts and waits for the first that fails, or for ctx.
func (m *upRun) run(ctx context.Context) error {
	m.say("starting containerd")
	signer, err := token.NewSigner(time.Now)
	if err != nil {
		return err
	}
	jwks, err := signer.JWKS()
	if err != nil {
		return err
	}
	if err := state.WriteFile(m.dir.JWKS(), jwks); err != nil {
		return err
	}
	cd, err := runtime.Start(ctx, runtime.Options{
		Dir: m.dir.Path("containerd"), Namespace: m.ns, Plan: m.rec.Plan, PauseImage: m.cfg.PauseImage,
		Started: func(mountNS string) error {
			m.rec.MountNS = mountNS
			return m.dir.WriteRecord(m.rec)
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(m.serve(ctx, cd, signer), cd.Close())
}

// serve runs all parts that need containerd.
func (m *upRun) serve(ctx context.Context, cd *runtime.Containerd, signer *token.Signer) error {
	client := cd.Client()
	images, err := runtime.NewImages(m.dir.Path("containerd"), m.cfg.Images, m.cfg.Aliases, client)
	if err != nil {
		return err
	}
	// Without this one containerd makes no pod at all.
	if _, err := images.Resolve(ctx, m.cfg.PauseImage); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	// containerd is kept running, and containers are watched, until the last pod is down.
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stopWatch()
	watcher := runtime.NewWatcher(client)
	watching.Go(func() { watcher.Run(watchCtx) })
	watching.Go(func() { cd.Supervise(watchCtx, m.containerdDied) })

	c, err := m.controller(client, images, watcher, signer)
	if err != nil {
		return err
	}
	if err := m.serveDNS(gctx, g, c.dns); err != nil {
		return err
	}
	source := file.New(m.cfg.Dirs, file.Options{Name: "localnode", Logger: m.cfg.Log})
	g.Go(func() error { return source.Run(gctx, c.world) })
	if m.cfg.DiscoveryBinary != "" {
		g.Go(func() error {
			return discovery{cfg: m.cfg, dir: m.dir, ns: m.ns}.run(gctx)
		})
	}
	g.Go(func() error { m.trimLogs(gctx); return nil })
	g.Go(func() error { c.refreshOnRoot(gctx, m.rootVersion); return nil })
	g.Go(func() error { return c.run(gctx) })
	return g.Wait()
}

// trimLogs keeps the logs of the mesh's own programs within a bound.
func (m *upRun) trimLogs(ctx context.Context) {
	const (
		interval = time.Second
		maxLog   = 10 << 20 // bytes, and as many of what was before
	)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, path := range []string{m.dir.DiscoveryLog(), runtime.LogFile(m.dir.Path("containerd"))} {
			if err := state.Trim(path, maxLog); err != nil {
				m.cfg.Log.Warn("a log is not bounded", slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *upRun) containerdDied(err error) {
	m.cfg.Events(Event{Kind: EventWarning, Event: pod.Event{
		Warning: true, Message: fmt.Sprintf("%v; it is started again, and what runs goes on", err),
	}})
}

func (m *upRun) say(what string) {
	m.cfg.Events(Event{Kind: EventStarting, Event: pod.Event{Message: what}})
}

// rootVersion changes with the control plane's root certificate, and with what its CA has revoked.
func (m *upRun) rootVersion() string {
	var version string
	for _, name := range slices.Sorted(maps.Values(caFiles)) {
		if info, err := os.Stat(filepath.Join(m.dir.CA(), name)); err == nil {
			version += info.ModTime().String()
		}
		version += "\n"
	}
	return version
}

func (m *upRun) controller(client *runtime.Client, images *runtime.Images, watcher *runtime.Watcher, signer *token.Signer) (*controller, error) {
	w := newWorld(m.dir, func(p model.Problem) {
		m.cfg.Events(Event{Kind: EventWarning, Severity: p.Severity, Event: pod.Event{Warning: true, Message: p.String()}})
	})
	var upstream []string
	if m.cfg.Egress {
		var err error
		if upstream, _, err = wire.ResolvConf("/etc/resolv.conf"); err != nil {
			return nil, err
		}
	}
	node := &pod.Node{
		Name: "ph-" + m.cfg.Name, HostIP: m.rec.Plan.Mesh.String(), DNS: m.rec.Plan.DNS.String(), Domain: Domain,
		CgroupParent: cgroupParent(m.cfg.Name), PodsDir: m.dir.Pods(), MemoryDir: m.dir.Memory(), LogsDir: m.dir.Logs(),
		Capacity: capacity(), MaxBackoff: m.cfg.MaxRestartPeriod,
		Runtime: client, Images: images, Exits: watcher,
		Objects: w, Tokens: signer, Dial: m.ns.Dial, Log: m.cfg.Log,
		Events: func(e pod.Event) {
			m.cfg.Events(Event{Kind: EventWarning, Event: e})
		},
	}
	c := &controller{
		cfg: m.cfg, plan: m.rec.Plan, ns: m.ns, world: w, node: node,
		files: newObjectFiles(m.dir.Objects()), dns: dns.NewServer(upstream, m.cfg.Log),
		vips: network.NewAllocator(m.rec.Plan), log: m.cfg.Log,
		pods: map[string]*running{}, served: map[string]bool{}, refused: map[string]string{},
		gateway: func(addr string) error {
			m.rec.Gateway = addr
			return m.dir.WriteRecord(m.rec)
		},
	}
	w.onVolumes = c.refresh
	return c, nil
}

// capacity is what the machine has, for containers without a limit.
func capacity() corev1.ResourceList {
	list := corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(int64(stdruntime.NumCPU()), resource.DecimalSI)}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		list[corev1.ResourceMemory] = *resource.NewQuantity(int64(info.Totalram)*int64(info.Unit), resource.BinarySI)
	}
	return list
}

func (m *upRun) serveDNS(ctx context.Context, g *errgroup.Group, server *dns.Server) error {
	addr := net.JoinHostPort(m.rec.Plan.DNS.String(), "53")
	l, err := m.ns.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	pc, err := m.ns.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for DNS: %w", err), l.Close())
	}
	g.Go(func() error { return server.Serve(ctx, l, pc) })
	return nil
}
