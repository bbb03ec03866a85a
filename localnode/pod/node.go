// Package pod is the pod loop of a small kubelet: it makes a pod's sandbox and volumes, starts its
// init containers, native sidecars and containers in order, probes and restarts them, and ends
// them with their hooks and their grace. It reports the pod's status at each change, and knows
// nothing of Deployments, Services or the mesh.
package pod

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/volume"
)

// Runtime is what a pod needs of the container runtime.
type Runtime interface {
	RunSandbox(ctx context.Context, config *cri.PodSandboxConfig) (id, ip string, err error)
	RemoveSandboxes(ctx context.Context, labels map[string]string) error
	KillCgroup(ctx context.Context, path string) error
	StartContainer(ctx context.Context, sandbox string, config *cri.ContainerConfig, pod *cri.PodSandboxConfig) (string, error)
	StopContainer(ctx context.Context, id string, grace time.Duration) error
	RemoveContainers(ctx context.Context, sandbox string, labels map[string]string) error
	ReopenLog(ctx context.Context, id string) error
	Exit(ctx context.Context, id string) (runtime.ExitStatus, error)
	ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (output []byte, code int32, err error)
}

// Images finds the imported image for one that a manifest names.
type Images interface {
	Resolve(ctx context.Context, image string) (string, error)
	User(ctx context.Context, image string) (uid int64, ok bool)
}

// Exits tells when containers and sandboxes end: the channel is closed when what has the id does
// not run.
type Exits interface {
	Wait(id string) <-chan struct{}
}

// Event is something that a user wants to hear of a pod.
type Event struct {
	Pod       string // namespace/name
	Container string // empty for the whole pod
	Warning   bool
	Message   string
	LogTail   []string // the container's last lines, where they help
}

// Node is where pods run. Its fields are set before the first pod and not changed after.
type Node struct {
	Name         string // spec.nodeName
	HostIP       string // status.hostIP
	DNS          string // the pods' nameserver
	Domain       string // e.g. cluster.local
	CgroupParent string // e.g. /pilothouse/NAME
	PodsDir      string // volumes on disk, a directory for each pod's UID
	MemoryDir    string // volumes in memory, likewise
	LogsDir      string
	Capacity     corev1.ResourceList
	MaxBackoff   time.Duration // of a container that ends again and again

	Runtime Runtime
	Images  Images
	Exits   Exits
	Objects volume.Objects
	Tokens  volume.Tokens
	Dial    Dialer // for probes
	Log     *slog.Logger
	Events  func(Event)
}

// ErrShutdown is the cause with which a pod's context is cancelled when the whole mesh ends: no
// one is left to be served, so that containers get a moment instead of their grace.
var ErrShutdown = errors.New("the mesh is shutting down")

// shutdownGrace is the moment that containers get at ErrShutdown.
const shutdownGrace = time.Second

// LogDir is the directory of a pod's logs.
func (n *Node) LogDir(p *corev1.Pod) string { return filepath.Join(n.LogsDir, string(p.UID)) }

// cgroup is the parent of all of the pod's cgroups.
func (n *Node) cgroup(p *corev1.Pod) string {
	return filepath.Join(n.CgroupParent, "pod"+string(p.UID))
}

func (n *Node) dir(p *corev1.Pod) string    { return filepath.Join(n.PodsDir, string(p.UID)) }
func (n *Node) memory(p *corev1.Pod) string { return filepath.Join(n.MemoryDir, string(p.UID)) }
