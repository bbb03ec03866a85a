package localnode

import (
	"context"
	"errors"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/admit"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// errReplaced is the cause with which a pod ends that is not wanted any more.
var errReplaced = errors.New("the pod is not wanted any more")

// syncPods starts pods that are missing and ends those that nobody wants.
func (c *controller) syncPods(ctx context.Context, deployments []*appsv1.Deployment, pods []*corev1.Pod, d defaults) {
	wanted := map[string]bool{}
	complete := true
	for _, dep := range deployments {
		owner := "Deployment/" + dep.Namespace + "/" + dep.Name
		wanted[owner] = true
		complete = c.syncDeployment(ctx, owner, dep, d) && complete
	}
	for _, p := range pods {
		owner := "Pod/" + p.Namespace + "/" + p.Name
		wanted[owner] = true
		complete = c.syncPod(ctx, owner, p, d) && complete
	}
	for owner := range c.refused {
		if !wanted[owner] {
			c.admitted(owner)
		}
	}
	c.mu.Lock()
	for _, r := range c.pods {
		if !wanted[r.owner] {
			r.leave()
		}
	}
	tell := complete && !c.up
	c.up = c.up || complete
	c.mu.Unlock()
	if tell {
		c.cfg.Events(Event{Kind: EventUp, Event: pod.Event{Message: "all pods are ready"}})
	}
}

// leave ends the pod in its own time.
func (r *running) leave() {
	if !r.going {
		r.going = true
		r.cancel(errReplaced)
	}
}

// syncDeployment takes one step of a rollout; it gives true when nothing is left to do.
func (c *controller) syncDeployment(ctx context.Context, owner string, dep *appsv1.Deployment, d defaults) bool {
	hash, err := hashOf(dep.Spec.Template)
	if err != nil {
		c.refuse(owner, err)
		return false
	}
	c.mu.Lock()
	var members []member
	allReady := true
	for _, r := range c.pods {
		if r.owner != owner {
			continue
		}
		ready := isReady(r.latest) && !r.going
		allReady = allReady && ready
		members = append(members, member{
			name: r.latest.Name, hash: r.hash, ready: ready, leaving: r.going, born: r.latest.CreationTimestamp.Time,
		})
	}
	create, remove := rollout(dep, hash, members)
	for _, name := range remove {
		c.pods[dep.Namespace+"/"+name].leave()
	}
	c.mu.Unlock()
	for range create {
		p, err := c.prepare(podOf(dep, hash), d)
		if err != nil {
			c.refuse(owner, err)
			return false
		}
		c.admitted(owner)
		c.start(ctx, owner, hash, p)
	}
	return allReady && create == 0 && len(remove) == 0
}

// syncPod runs a Pod of the directory; a changed one replaces its former self, which has to be
// gone first, for both have one name.
func (c *controller) syncPod(ctx context.Context, owner string, p *corev1.Pod, d defaults) bool {
	hash, err := hashOf([]any{p.Labels, p.Annotations, p.Spec})
	if err != nil {
		c.refuse(owner, err)
		return false
	}
	c.mu.Lock()
	r := c.pods[p.Namespace+"/"+p.Name]
	if r != nil && (r.hash != hash || r.owner != owner) {
		r.leave()
	}
	ready := r != nil && !r.going && (isReady(r.latest) || r.latest.Status.Phase == corev1.PodSucceeded)
	c.mu.Unlock()
	if r != nil {
		return ready
	}
	full, err := c.prepare(p.DeepCopy(), d)
	if err != nil {
		c.refuse(owner, err)
		return false
	}
	c.admitted(owner)
	c.start(ctx, owner, hash, full)
	return false
}

// prepare completes a pod, gives it its sidecar and checks it. Nothing is made before.
func (c *controller) prepare(p *corev1.Pod, d defaults) (*corev1.Pod, error) {
	complete(p)
	if c.cfg.Inject == nil {
		return p, admit.Pod(p)
	}
	out, _, err := c.cfg.Inject(p, c.namespaceOf(p.Namespace, d), c.world.injection())
	if err != nil {
		return nil, err
	}
	for i := range out.Spec.InitContainers {
		completeContainer(&out.Spec.InitContainers[i])
	}
	for i := range out.Spec.Containers {
		completeContainer(&out.Spec.Containers[i])
	}
	return out, admit.Pod(out)
}

func (c *controller) namespaceOf(name string, d defaults) *corev1.Namespace {
	if ns, ok := get[*corev1.Namespace](c.world, model.Key{Kind: model.KindNamespace, Name: name}); ok {
		return ns
	}
	for _, ns := range d.namespaces {
		if ns.Name == name {
			return ns
		}
	}
	return namespace(name)
}

// refreshOnRoot lets pods look at their volumes when the control plane's root certificate came or
// changed, which tells version.
func (c *controller) refreshOnRoot(ctx context.Context, version func() string) {
	const interval = 100 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last := ""; ; {
		if v := version(); v != last {
			last = v
			c.refresh()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
