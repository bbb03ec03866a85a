package pod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/localnode/volume"
)

// unit is one container of a running pod. Only the pod's loop touches it.
type unit struct {
	spec *corev1.Container
	container
	id       string
	attempt  int // number of starts so far
	failures int // in a row, for the back-off
	ready    bool
	reason   string // why it waits
	detail   string
	begun    time.Time
	last     *corev1.ContainerStateTerminated // how its former run ended
	ended    *corev1.ContainerStateTerminated // how this run ended, while exited
	stop     context.CancelFunc               // ends its probes and its watch
	probed   atomic.Pointer[string]           // what its last failed probe said; its probes write it
}

// Pod is one pod on its way from sandbox to removal.
type Pod struct {
	node    *Node
	pod     *corev1.Pod // our copy; only the pod's loop writes to it
	publish func(*corev1.Pod)
	// published is what publish got last; nobody writes to it.
	published *corev1.Pod

	units       []*unit
	sandbox     string
	sandboxes   uint32 // number of sandboxes tried so far
	sandboxLost bool   // it ended, and is to be replaced
	sandboxStop context.CancelFunc
	config      *cri.PodSandboxConfig
	volumes     *volume.Set
	initialized bool
	phase       corev1.PodPhase
	told        string    // the last warning, not to be repeated
	complainAt  time.Time // when to tell that the pod is not ready; zero while it is

	inbox   chan func() // what probes and watches found, run by the loop
	refresh chan struct{}
	wg      sync.WaitGroup
}

// New prepares a pod. publish gets a copy with each new status, from one goroutine at a time.
func (n *Node) New(p *corev1.Pod, publish func(*corev1.Pod)) *Pod {
	p = p.DeepCopy()
	p.Spec.NodeName = n.Name
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, HostIP: n.HostIP, HostIPs: []corev1.HostIP{{IP: n.HostIP}}}
	r := &Pod{
		node: n, pod: p, publish: publish, phase: corev1.PodPending, complainAt: time.Now().Add(firstComplaint),
		inbox: make(chan func()), refresh: make(chan struct{}, 1),
	}
	now := metav1.Now()
	p.Status.StartTime = &now
	add := func(c *corev1.Container, k kind) {
		r.units = append(r.units, &unit{spec: c, container: container{kind: k, started: c.StartupProbe == nil}})
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c, sidecarKind)
		} else {
			add(c, initKind)
		}
	}
	for i := range p.Spec.Containers {
		add(&p.Spec.Containers[i], appKind)
	}
	return r
}

// Refresh tells the pod that objects which its volumes show may have changed.
func (r *Pod) Refresh() {
	select {
	case r.refresh <- struct{}{}:
	default:
	}
}

// Run runs the pod until ctx ends, then takes it down: hooks, grace, sandbox, volumes, logs. The
// error tells what of it could not be removed.
func (r *Pod) Run(ctx context.Context) error {
	r.report()
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.loop(ctx, watch)
	err := r.terminate(ctx)
	cancel()
	r.drain()
	return errors.Join(err, r.remove(context.WithoutCancel(ctx)))
}

// drain waits for the pod's goroutines, and lets those go on that want to tell something.
func (r *Pod) drain() {
	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	for {
		select {
		case <-r.inbox:
		case <-done:
			return
		}
	}
}

// send hands fn to the loop; it gives false when the watch ended before the loop took it.
func (r *Pod) send(ctx context.Context, fn func()) bool {
	select {
	case r.inbox <- fn:
		return true
	case <-ctx.Done():
		return false
	}
}

// loop decides and does steps until ctx ends. watch outlives ctx: probes go on while a container
// is being stopped.
func (r *Pod) loop(ctx, watch context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		wake := r.step(ctx, watch)
		r.report()
		if timer.Stop(); !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.refresh: // the next step looks at the volumes
		case fn := <-r.inbox:
			fn()
		}
	}
}

// retryInterval is how long to wait after something outside of the containers failed.
const retryInterval = time.Second

// step does what is next, and tells when to come again.
func (r *Pod) step(ctx, watch context.Context) time.Time {
	if r.phase == corev1.PodSucceeded || r.phase == corev1.PodFailed {
		return time.Time{}
	}
	if r.sandboxLost {
		r.leaveSandbox(ctx)
		return time.Now() // come again at once, with the status told
	}
	if r.sandbox == "" {
		if err := r.makeSandbox(ctx, watch); err != nil {
			r.warn("", err)
			return time.Now().Add(retryInterval)
		}
	}
	renew, err := r.volumes.Sync()
	if err != nil {
		r.warn("", err)
		renew = time.Now().Add(retryInterval)
		if !r.anyStarted() {
			return renew
		}
	}
	cs := make([]container, len(r.units))
	for i, u := range r.units {
		cs[i] = u.container
	}
	s := next(cs, r.pod.Spec.RestartPolicy, r.initialized, time.Now())
	r.initialized = s.initialized
	switch s.outcome {
	case succeeded:
		r.phase = corev1.PodSucceeded
	case failed:
		r.phase = corev1.PodFailed
	}
	for _, i := range s.start {
		if ctx.Err() != nil {
			break
		}
		r.start(ctx, watch, r.units[i])
		s.wake = earlier(s.wake, r.units[i].earliest)
	}
	r.complain()
	return earlier(earlier(s.wake, renew), r.complainAt)
}

func (r *Pod) anyStarted() bool {
	return slices.ContainsFunc(r.units, func(u *unit) bool { return u.id != "" })
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (r *Pod) messagePath(container string) string {
	return filepath.Join(r.node.dir(r.pod), "message-"+container)
}

// remove takes away what the pod had.
func (r *Pod) remove(ctx context.Context) error {
	var errs []error
	if r.sandboxes > 0 {
		errs = append(errs, r.removeSandboxes(ctx))
	}
	if r.volumes != nil {
		errs = append(errs, r.volumes.Remove())
	}
	return errors.Join(append(errs, state.RemoveAll(r.node.dir(r.pod)), os.RemoveAll(r.node.LogDir(r.pod)))...)
}
