package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// grace is how long the pod's containers have from the wish to end them to SIGKILL.
func (r *Pod) grace() time.Duration {
	if s := r.pod.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// leaveTime is how long it may take until nameservers, nat tables and proxies send nothing more to
// a pod that is told to be going.
const leaveTime = time.Second

// terminate tells that the pod is going, so that it leaves its Services' endpoints first; then it
// ends the application's containers, all at once, and after them the sidecars, last one first.
func (r *Pod) terminate(ctx context.Context) error {
	shutdown := errors.Is(context.Cause(ctx), ErrShutdown)
	grace := r.grace()
	if shutdown {
		grace = min(grace, shutdownGrace)
	}
	now, seconds := metav1.Now(), int64(grace/time.Second)
	r.pod.DeletionTimestamp, r.pod.DeletionGracePeriodSeconds = &now, &seconds
	wasReady := r.isReady()
	r.report()
	if wasReady && !shutdown {
		// Others keep sending until they have heard of it.
		sleep(context.WithoutCancel(ctx), min(leaveTime, grace/2))
	}
	t := stopper{r: r, deadline: now.Add(grace), hooks: !shutdown}
	ctx = context.WithoutCancel(ctx)
	var apps, sidecars []*unit
	for _, u := range r.units {
		switch {
		case u.phase != running:
		case u.kind == sidecarKind && !shutdown:
			sidecars = append(sidecars, u)
		default:
			apps = append(apps, u)
		}
	}
	return t.stopAll(ctx, apps, sidecars)
}

// stopper ends containers that share one deadline.
type stopper struct {
	r        *Pod
	deadline time.Time
	hooks    bool
}

// stopAll ends the application's containers, all at once, and then the sidecars, last one first.
func (t stopper) stopAll(ctx context.Context, apps, sidecars []*unit) error {
	errs := make([]error, len(apps))
	var wg sync.WaitGroup
	for i, u := range apps {
		wg.Go(func() { errs[i] = t.stop(ctx, u) })
	}
	wg.Wait()
	for _, u := range slices.Backward(sidecars) {
		errs = append(errs, t.stop(ctx, u))
	}
	return errors.Join(errs...)
}

// minGrace is what a container gets after a hook, or another container, used up the deadline.
const minGrace = 2 * time.Second

func (t stopper) stop(ctx context.Context, u *unit) error {
	if h := u.spec.Lifecycle; t.hooks && h != nil && h.PreStop != nil {
		hookCtx, cancel := context.WithDeadline(ctx, t.deadline)
		if err := t.r.hook(hookCtx, u, h.PreStop); err != nil {
			t.r.event(Event{Container: u.spec.Name, Warning: true, Message: fmt.Sprintf("preStop hook of container %s: %v", u.spec.Name, err)})
		}
		cancel()
	}
	grace := time.Until(t.deadline)
	if t.hooks {
		grace = max(grace, minGrace)
	}
	return t.r.node.Runtime.StopContainer(ctx, u.id, max(grace, 0))
}

func postStart(c *corev1.Container) *corev1.LifecycleHandler {
	if c.Lifecycle == nil {
		return nil
	}
	return c.Lifecycle.PostStart
}

// hook runs a lifecycle handler of a running container, if there is one.
func (r *Pod) hook(ctx context.Context, u *unit, h *corev1.LifecycleHandler) error {
	switch {
	case h == nil:
		return nil
	case h.Sleep != nil:
		sleep(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	check, err := r.target(u, u.id).checkOf(corev1.ProbeHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket})
	if err != nil {
		return err
	}
	return check(ctx)
}
