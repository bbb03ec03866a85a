package localnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/dns"
	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// running is one pod that the controller started.
type running struct {
	owner  string // key of the Deployment or Pod that wants it
	hash   string // of what it was made from
	pod    *pod.Pod
	latest *corev1.Pod // with the status last published
	cancel context.CancelCauseFunc
	going  bool
}

// controller brings what runs into line with the world.
type controller struct {
	cfg   Config
	plan  network.Plan
	ns    network.Namespace
	world *world
	node  *pod.Node
	files *objectFiles
	dns   *dns.Server
	vips  *network.Allocator
	log   *slog.Logger
	// gateway is told the address of the ingress gateway's Service once it is known.
	gateway     func(addr string) error
	gatewayAddr string // as last told

	mu    sync.Mutex
	pods  map[string]*running // by namespace/name
	wg    sync.WaitGroup
	rules string // the rules in the kernel
	// served are the Services, by namespace/name, that the control plane has a file of.
	served map[string]bool
	up     bool // EventUp was sent
	// refused holds, for each owner, the injector's complaint that was told.
	refused map[string]string
}

// run works until ctx ends, then takes all pods down.
func (c *controller) run(ctx context.Context) error {
	defer c.stopAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.world.changed:
		}
		if !c.world.isSynced() {
			continue
		}
		if err := c.sync(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// sync does everything that is to be done now.
func (c *controller) sync(ctx context.Context) error {
	d := defaultsFor(c.world, c.plan, c.cfg.PlaintextAddr)
	if err := c.writeDefaults(d); err != nil {
		return err
	}
	services, err := c.services(d)
	if err != nil {
		return err
	}
	wanted := append(d.deployments, list[*appsv1.Deployment](c.world, model.KindDeployment)...)
	c.syncPods(ctx, wanted, list[*corev1.Pod](c.world, model.KindPod), d)
	return c.publishServices(ctx, services)
}

func (c *controller) writeDefaults(d defaults) error {
	var objects []any
	for _, o := range d.objects() {
		objects = append(objects, o)
	}
	return c.files.put("defaults.yaml", objects...)
}

// services gives all Services with their addresses, and writes them for the control plane.
func (c *controller) services(d defaults) ([]*corev1.Service, error) {
	all := map[string]*corev1.Service{}
	for _, s := range slices.Concat(list[*corev1.Service](c.world, model.KindService), d.services) {
		all[s.Namespace+"/"+s.Name] = s.DeepCopy()
	}
	for key := range c.served {
		if s := all[key]; s == nil || headless(s) || external(s) {
			c.vips.Release(key)
		}
		if all[key] == nil {
			ns, name, _ := strings.Cut(key, "/")
			if err := c.files.remove(fileName("service", ns, name)); err != nil {
				return nil, err
			}
			delete(c.served, key)
		}
	}
	var out []*corev1.Service
	for _, key := range slices.Sorted(maps.Keys(all)) {
		s := all[key]
		if err := c.address(key, s); err != nil {
			return nil, err
		}
		if err := c.files.put(fileName("service", s.Namespace, s.Name), s); err != nil {
			return nil, err
		}
		c.served[key] = true
		out = append(out, s)
	}
	return out, c.tellGateway(out)
}

// address gives a Service its cluster IP. One that the manifest fixed belongs to another
// cluster's range and is replaced.
func (c *controller) address(key string, s *corev1.Service) error {
	if headless(s) || external(s) {
		return nil
	}
	if key != model.RootNamespace+"/"+istiodName {
		addr, err := c.vips.Get(key)
		if err != nil {
			return err
		}
		s.Spec.ClusterIP = addr.String()
	}
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: s.Spec.ClusterIP}}
	}
	return nil
}

// tellGateway tells the address of the ingress gateway's Service: the one of the root namespace,
// and only where there is none the first of another one.
func (c *controller) tellGateway(services []*corev1.Service) error {
	addr := ""
	for _, s := range services {
		if s.Name != gatewayName || headless(s) || external(s) {
			continue
		}
		if s.Namespace == model.RootNamespace || addr == "" {
			addr = s.Spec.ClusterIP
		}
	}
	if addr == c.gatewayAddr {
		return nil
	}
	c.gatewayAddr = addr
	return c.gateway(addr)
}

// publishServices leads addresses and names to the pods that are ready now.
func (c *controller) publishServices(ctx context.Context, services []*corev1.Service) error {
	pods := c.latest()
	var forwards []network.Forward
	var records []dns.Service
	for _, s := range services {
		records = append(records, recordOf(s, pods))
		if s.Spec.ClusterIP != c.plan.Istiod.String() { // it is local to the namespace
			forwards = append(forwards, forwardsOf(s, pods)...)
		}
	}
	c.dns.Set(dns.NewTable(Domain, records))
	rules := c.plan.Rules(forwards)
	if string(rules) == c.rules {
		return nil
	}
	if err := c.ns.Restore(ctx, rules); err != nil {
		return err
	}
	c.rules = string(rules)
	return nil
}

// latest gives all pods with their status, sorted.
func (c *controller) latest() []*corev1.Pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pods []*corev1.Pod
	for _, key := range slices.Sorted(maps.Keys(c.pods)) {
		pods = append(pods, c.pods[key].latest)
	}
	return pods
}

// refresh lets all pods look at their volumes again.
func (c *controller) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.pods {
		r.pod.Refresh()
	}
}

// stopAll ends all pods and waits for them.
func (c *controller) stopAll() {
	c.mu.Lock()
	for _, r := range c.pods {
		r.cancel(pod.ErrShutdown)
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// start starts one pod.
func (c *controller) start(ctx context.Context, owner, hash string, p *corev1.Pod) {
	key := p.Namespace + "/" + p.Name
	// The cause tells the pod how to end; the controller cancels it, not ctx.
	podCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &running{owner: owner, hash: hash, latest: p, cancel: cancel}
	r.pod = c.node.New(p, func(p *corev1.Pod) { c.published(key, r, p) })
	c.mu.Lock()
	c.pods[key] = r
	c.mu.Unlock()
	c.cfg.Events(Event{Kind: EventStarting, Event: pod.Event{Pod: key, Message: "starting"}})
	c.wg.Go(func() {
		defer cancel(nil)
		err := r.pod.Run(podCtx)
		c.mu.Lock()
		delete(c.pods, key)
		c.mu.Unlock()
		if err = errors.Join(err, c.files.remove(fileName("pod", p.Namespace, p.Name))); err != nil {
			c.log.Error("a pod was not removed completely", slog.String("pod", key), slog.Any("error", err))
		}
		c.cfg.Events(Event{Kind: EventGone, Event: pod.Event{Pod: key, Message: "gone"}})
		c.world.signal()
	})
}

// published takes a pod's new status: the control plane's file first, for it is what others wait for.
func (c *controller) published(key string, r *running, p *corev1.Pod) {
	if err := c.files.put(fileName("pod", p.Namespace, p.Name), p); err != nil {
		c.log.Error("a pod's status was not written", slog.String("pod", key), slog.Any("error", err))
	}
	c.mu.Lock()
	was := isReady(r.latest)
	r.latest = p
	c.mu.Unlock()
	if !was && isReady(p) {
		c.cfg.Events(Event{Kind: EventReady, Event: pod.Event{Pod: key, Message: fmt.Sprintf("ready at %s", p.Status.PodIP)}})
	}
	c.world.signal()
}
