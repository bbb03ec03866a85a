// Package localnode runs a whole mesh on one machine without Kubernetes. It is a small kubelet with a
// private containerd in a network namespace of its own. It also does the four jobs that a cluster does
// for a mesh: it gives Services addresses, writes pods with status and readiness for the control plane
// to read, signs service-account tokens, and starts a control plane again that has died. What it makes
// is recorded, so that Down leaves nothing, also after a kill -9.
package localnode

import (
	"fmt"
	"log/slog"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// DefaultStateRoot is where meshes keep their state, a directory for each.
const DefaultStateRoot = "/run/pilothouse"

// DefaultPauseImage keeps a pod's namespaces.
const DefaultPauseImage = "pilothouse/pause:dev"

// Domain of the mesh's Services.
const Domain = "cluster.local"

// Config of a mesh.
type Config struct {
	Name      string   // of the mesh; part of names of a namespace, a link and a directory
	Dirs      []string // with the mesh's YAML; later ones win
	StateRoot string   // DefaultStateRoot if empty
	Images    []string // tarballs to import
	// Aliases gives what leads an image that a manifest names to one of the imported ones. It is called
	// whenever an image is not imported under its own name, so that the list may change; nil for none.
	Aliases    func() (map[string]string, error)
	PauseImage string // DefaultPauseImage if empty
	// DiscoveryBinary is pilot-discovery; empty runs no control plane.
	DiscoveryBinary string
	// PlaintextAddr is where the control plane serves discovery without asking for proof, which
	// every pod can then reach, e.g. ":15010". Empty serves it nowhere.
	PlaintextAddr string
	// MaxRestartPeriod is the longest pause before a container that ends again and again is started
	// anew; 5 minutes if zero, as a kubelet's maxContainerRestartPeriod.
	MaxRestartPeriod time.Duration
	// DiscoveryArgs are added to its command line.
	DiscoveryArgs []string
	// Egress passes unknown names on to the host's nameservers, and lets packets for elsewhere
	// out to the host, which forwards them if it is set up to do so.
	Egress bool
	// Inject gives the pod with its sidecar, by what the directories say as it is made; false when the
	// pod is to run as it is. The pod's owner is in its ownerReferences. Nil injects nothing.
	Inject func(pod *corev1.Pod, namespace *corev1.Namespace, by Injection) (*corev1.Pod, bool, error)
	Log    *slog.Logger
	// Events gets what a user wants to hear: progress, warnings. It must not block.
	Events func(Event)
}

// Injection is what the directories say of how pods get their sidecars. It counts for pods that are made after it.
type Injection struct {
	Mesh         *meshconfig.MeshConfig // nil for the defaults
	ProxyConfigs []*model.Object        // of all namespaces
}

// Event is one piece of news about a mesh.
type Event struct {
	pod.Event
	Kind     EventKind
	Severity model.Severity // of a problem with an object of the files; empty for all else
}

// EventKind tells what happened.
type EventKind string

// The kinds of events.
const (
	EventStarting EventKind = "Starting" // a part of the mesh, or a pod, is being started
	EventReady    EventKind = "Ready"    // a pod became ready
	EventGone     EventKind = "Gone"     // a pod is gone
	EventWarning  EventKind = "Warning"
	EventUp       EventKind = "Up" // all pods of the directories were ready for the first time
)

// String gives one line, without the log's tail.
func (e Event) String() string {
	if e.Pod == "" {
		return e.Message
	}
	return e.Pod + ": " + e.Message
}

func (c *Config) complete() error {
	if c.StateRoot == "" {
		c.StateRoot = DefaultStateRoot
	}
	if c.PauseImage == "" {
		c.PauseImage = DefaultPauseImage
	}
	if c.MaxRestartPeriod == 0 {
		c.MaxRestartPeriod = pod.DefaultMaxBackoff
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Events == nil {
		c.Events = func(Event) {}
	}
	if len(c.Dirs) == 0 {
		return fmt.Errorf("no directory is given: name the one with the mesh's YAML")
	}
	return nil
}
