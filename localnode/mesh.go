package localnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// Mesh is a running mesh as another process sees it.
type Mesh struct {
	dir state.Dir
	rec state.Record
	ns  network.Namespace
}

// Streams of a command; nil ones are not connected.
type Streams = runtime.Streams

// Open finds a running mesh. root is DefaultStateRoot if empty.
func Open(root, name string) (*Mesh, error) {
	dir, err := state.NewDir(cmp.Or(root, DefaultStateRoot), name)
	if err != nil {
		return nil, err
	}
	rec, err := dir.ReadRecord()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mesh %s: %w; start it with `pilotctl up`", name, ErrNoMesh)
	}
	if err != nil {
		return nil, err
	}
	return &Mesh{dir: dir, rec: rec, ns: namespaceFor(dir)}, nil
}

// Pods gives the mesh's pods with their status, by namespace and name.
func (m *Mesh) Pods() ([]*corev1.Pod, error) {
	pods, err := readPods(m.dir.Objects())
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return pods, err
}

// Pod finds a pod by NAME, NAME.NAMESPACE or NAMESPACE/NAME; the name may also be that of the pod's
// Deployment, if that has one pod only.
func (m *Mesh) Pod(name string) (*corev1.Pod, error) {
	pods, err := m.Pods()
	if err != nil {
		return nil, err
	}
	var exact, loose []*corev1.Pod
	for _, p := range pods {
		means := func(own string) bool {
			return name == own || name == own+"."+p.Namespace || name == p.Namespace+"/"+own
		}
		if means(p.Name) {
			exact = append(exact, p)
		}
		hash := p.Labels["pod-template-hash"]
		if deployment, _, _ := strings.Cut(p.Name, "-"+hash+"-"); hash != "" && means(deployment) {
			loose = append(loose, p)
		}
	}
	found := exact
	if len(found) == 0 {
		found = loose
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if begin := beginning(pods, name); len(begin) > 0 {
			return nil, fmt.Errorf("mesh %s has no pod %q; of those that begin so write one: %s", m.dir.Name, name, names(begin))
		}
		return nil, fmt.Errorf("mesh %s has no pod %q; it has %s", m.dir.Name, name, names(pods))
	}
	return nil, fmt.Errorf("%q means %d pods: %s; name one of them as NAMESPACE/NAME", name, len(found), names(found))
}

// beginning gives the pods whose name begins as the one that was asked for.
func beginning(pods []*corev1.Pod, name string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		own := strings.TrimSuffix(strings.TrimPrefix(name, p.Namespace+"/"), "."+p.Namespace)
		if strings.HasPrefix(p.Name, own) {
			out = append(out, p)
		}
	}
	return out
}

func names(pods []*corev1.Pod) string {
	if len(pods) == 0 {
		return "none"
	}
	var out []string
	for _, p := range pods {
		out = append(out, p.Namespace+"/"+p.Name)
	}
	return strings.Join(out, ", ")
}

// containerOf finds a container's status; an empty name means the default container.
func containerOf(p *corev1.Pod, name string) (corev1.ContainerStatus, error) {
	if name == "" {
		name = p.Annotations["kubectl.kubernetes.io/default-container"]
	}
	if name == "" && len(p.Spec.Containers) > 0 {
		name = p.Spec.Containers[0].Name
	}
	var have []string
	for _, cs := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if cs.Name == name {
			return cs, nil
		}
		have = append(have, cs.Name)
	}
	return corev1.ContainerStatus{}, fmt.Errorf("pod %s/%s has no container %q; it has %s", p.Namespace, p.Name, name, strings.Join(have, ", "))
}

// Exec runs a command in a running container and gives its exit code. An empty container means
// the default one.
func (m *Mesh) Exec(ctx context.Context, podName, container string, cmd []string, s Streams, tty bool) (int, error) {
	p, err := m.Pod(podName)
	if err != nil {
		return 0, err
	}
	cs, err := containerOf(p, container)
	if err != nil {
		return 0, err
	}
	if cs.State.Running == nil {
		return 0, fmt.Errorf("container %s of pod %s/%s is not running", cs.Name, p.Namespace, p.Name)
	}
	return runtime.Exec(ctx, m.dir.Path("containerd"), strings.TrimPrefix(cs.ContainerID, "containerd://"), cmd, s, tty)
}

// CADir is the directory of the control plane's CA.
func (m *Mesh) CADir() string { return m.dir.CA() }

// LogOptions choose what of a log is read.
type LogOptions struct {
	Follow     bool
	Tail       int  // the last lines only; 0 for all
	Previous   bool // of the run before the last restart
	Timestamps bool
}

// Logs writes a container's log to w. An empty container means the default one.
func (m *Mesh) Logs(ctx context.Context, podName, container string, opts LogOptions, w io.Writer) error {
	p, err := m.Pod(podName)
	if err != nil {
		return err
	}
	cs, err := containerOf(p, container)
	if err != nil {
		return err
	}
	attempt := int(cs.RestartCount)
	if opts.Previous {
		if attempt--; attempt < 0 {
			return fmt.Errorf("container %s of pod %s/%s was never restarted", cs.Name, p.Namespace, p.Name)
		}
	}
	if cs.ContainerID == "" {
		return fmt.Errorf("container %s of pod %s/%s has not started yet", cs.Name, p.Namespace, p.Name)
	}
	path := filepath.Join((&pod.Node{LogsDir: m.dir.Logs()}).LogDir(p), pod.LogPath(cs.Name, attempt))
	ended := func() bool {
		now, err := m.Pod(p.Namespace + "/" + p.Name)
		if err != nil {
			return true
		}
		cs, err := containerOf(now, cs.Name)
		return err != nil || int(cs.RestartCount) != attempt || cs.State.Running == nil
	}
	return runtime.ReadLog(ctx, path, runtime.LogOptions{
		Follow: opts.Follow, Tail: opts.Tail, Timestamps: opts.Timestamps, Ended: ended,
	}, w)
}

// Dial connects from inside the mesh's network namespace to an IP address and port.
func (m *Mesh) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return m.ns.Dial(ctx, network, addr)
}

// GatewayURL is where the host reaches the ingress gateway, or empty where there is none.
func (m *Mesh) GatewayURL() string {
	if m.rec.Gateway == "" {
		return ""
	}
	return "http://" + m.rec.Gateway
}

// DiscoveryLog is the file of the control plane's log.
func (m *Mesh) DiscoveryLog() string { return m.dir.DiscoveryLog() }
