// Package cluster runs a real Kubernetes on this machine: etcd, the API server, controllers and
// scheduler, and nodes with kubelet, kube-proxy and a private containerd, each node in a network
// namespace of its own. Tests run the mesh in it, and `make cluster` gives it to a user. The
// programs are those of the module in the folder programs.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// DefaultStateRoot is where clusters keep their state, a directory for each node.
const DefaultStateRoot = "/run/pilothouse-clusters"

// Config of a cluster.
type Config struct {
	Name      string   // part of names of namespaces, links and directories; "k8s" if empty
	StateRoot string   // DefaultStateRoot if empty
	Nodes     int      // 1 if 0
	Programs  string   // the directory of Kubernetes' programs and etcd
	Images    []string // tarballs that every node imports
	// Bare leaves out nodes, scheduler, and the controllers that make EndpointSlices: objects are only kept.
	// Istio's kinds are defined.
	Bare bool
	// PodsFirst gives pods the processors before all else that runs on this machine, as where they have nodes of
	// their own.
	PodsFirst bool
	// Progress is told what is being done; nil tells nobody.
	Progress func(string)
}

// Info tells how to reach a running cluster.
type Info struct {
	Kubeconfig string // a file, with all rights
	Server     string // the API server's URL
	Dir        string // with the programs' logs
	// Restart kills one of the programs, such as etcd, without a warning, and starts it again.
	Restart func(program string) error
	// Backup keeps what the API server has, and Restore has it go back to that.
	Backup  func() error
	Restore func(context.Context) error
}

func (c *Config) complete() {
	c.Name = cmp.Or(c.Name, "k8s")
	c.StateRoot = cmp.Or(c.StateRoot, DefaultStateRoot)
	c.Nodes = max(1, c.Nodes)
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
}

// nodeName is the name of a node's directory, and as a mesh's name that of all that it leaves on
// the machine, so that localnode takes it away.
func nodeName(cluster string, i int) string { return fmt.Sprintf("%s-%d", cluster, i) }

// Up runs a cluster until ctx ends or one of its programs does, and then takes everything away.
// ready is called when all nodes are.
func Up(ctx context.Context, cfg Config, ready func(Info)) (err error) {
	cfg.complete()
	if err := Down(ctx, cfg.StateRoot, cfg.Name); err != nil && !errors.Is(err, localnode.ErrNoMesh) {
		return fmt.Errorf("clean up after a former run: %w", err)
	}
	c := &cluster{cfg: cfg, procs: newProcesses()}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	if err := c.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.tasks.Wait()
	defer cancel(nil)
	c.procs.failed = func(err error) { cancel(err) }
	if err := c.start(ctx); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	ready(c.info())
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Down takes a cluster down, also one whose process was killed. It gives localnode.ErrNoMesh where
// there is none.
func Down(ctx context.Context, root, name string) error {
	root = cmp.Or(root, DefaultStateRoot)
	first, err := state.NewDir(root, nodeName(name, 1))
	if err != nil {
		return err
	}
	found := false
	var errs []error
	// The first node goes last, for it has the record of what is not a node's own.
	for i := maxNodes; i > 0; i-- {
		if i == 1 {
			errs = append(errs, recordedTunings(first).restore())
		}
		err := localnode.Down(ctx, root, nodeName(name, i))
		if errors.Is(err, localnode.ErrNoMesh) {
			continue
		}
		found = true
		errs = append(errs, err)
	}
	if !found {
		return localnode.ErrNoMesh
	}
	return errors.Join(append(errs, sweepHost(root))...)
}

// cluster is one run of Up.
type cluster struct {
	cfg   Config
	plan  plan
	nodes []*node
	procs *processes
	tasks sync.WaitGroup // of this process; they end with its context
}

// node is a machine of the cluster.
type node struct {
	name       string
	dir        state.Dir
	lock       *state.Lock
	ns         network.Namespace
	rec        state.Record
	ip         netip.Addr
	containerd *runtime.Containerd
}

func (n *node) log(program string) string { return n.dir.Path(program + ".log") }

// first is the node that has the control plane beside its pods.
func (c *cluster) first() *node { return c.nodes[0] }

func (c *cluster) info() Info {
	return Info{
		Kubeconfig: c.first().dir.Path("kubeconfig"), Server: c.server(), Dir: c.first().dir.Path(),
		Restart: c.procs.restart, Backup: c.backup, Restore: c.restore,
	}
}

func (c *cluster) server() string { return fmt.Sprintf("https://%s:%d", c.first().ip, apiPort) }

// prepare makes directories, namespaces and links; each is recorded before it is made.
func (c *cluster) prepare() error {
	if err := os.MkdirAll(c.cfg.StateRoot, 0o700); err != nil {
		return err
	}
	for i := range c.cfg.Nodes {
		dir, err := state.NewDir(c.cfg.StateRoot, nodeName(c.cfg.Name, i+1))
		if err != nil {
			return err
		}
		lock, err := dir.Lock()
		if err != nil {
			return err
		}
		n := &node{
			name: fmt.Sprintf("node-%d", i+1), dir: dir, lock: lock,
			ns: network.Namespace{Name: "ph-" + dir.Name, File: dir.Path("netns")},
		}
		c.nodes = append(c.nodes, n)
	}
	err := state.Exclusive(c.cfg.StateRoot, func() error {
		used, err := network.InUse()
		if err != nil {
			return err
		}
		if c.plan, err = choosePlan(used, c.cfg.Nodes); err != nil {
			return err
		}
		c.first().rec.HostLink = network.HostLink(c.first().dir.Name)
		for i, n := range c.nodes {
			n.ip, n.rec.Plan = c.plan.node(i), c.plan.of(i)
			if err := n.dir.WriteRecord(n.rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, n := range c.nodes {
		if err := c.prepareNode(i, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) prepareNode(i int, n *node) (err error) {
	if err := state.Private(n.dir.Memory()); err != nil {
		return err
	}
	if err := state.MountTmpfs(n.dir.Memory(), syscall.MS_NODEV); err != nil {
		return err
	}
	if err := n.ns.Create(); err != nil {
		return err
	}
	if n.rec.NetNS, err = n.ns.ID(); err != nil {
		return err
	}
	if err := n.dir.WriteRecord(n.rec); err != nil {
		return err
	}
	if i == 0 {
		return c.plan.connectHost(n.ns, n.rec.HostLink)
	}
	return c.plan.connectNode(c.first().ns, n.ns, i)
}

// start starts the control plane, then the nodes, and waits until all are ready.
func (c *cluster) start(ctx context.Context) error {
	if err := recordTunings(c.first().dir); err != nil {
		return err
	}
	c.cfg.Progress("starting etcd and the API server")
	if err := c.startControl(ctx); err != nil {
		return err
	}
	if c.cfg.Bare {
		return c.define(ctx)
	}
	for i, n := range c.nodes {
		c.cfg.Progress("starting " + n.name)
		if err := c.startNode(ctx, i, n); err != nil {
			return err
		}
	}
	if err := c.startDNS(ctx); err != nil {
		return err
	}
	if c.cfg.PodsFirst {
		if err := weighPods(); err != nil {
			return fmt.Errorf("give pods their weight: %w", err)
		}
	}
	c.cfg.Progress("waiting for the nodes")
	return c.waitNodes(ctx)
}

// closeTimeout bounds the cleaning.
const closeTimeout = 3 * time.Minute

// close stops all programs and takes away what they leave.
func (c *cluster) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	c.procs.kill()
	for _, n := range c.nodes {
		if n.containerd != nil {
			errs = append(errs, n.containerd.Close())
		}
	}
	for _, n := range c.nodes {
		errs = append(errs, n.lock.Release())
	}
	if err := Down(ctx, c.cfg.StateRoot, c.cfg.Name); !errors.Is(err, localnode.ErrNoMesh) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *cluster) program(name string) string { return filepath.Join(c.cfg.Programs, name) }
