package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/localnode/token"
	"github.com/pilothouse-mesh/pilothouse/localnode/volume"
)

// own are the labels of all that is the pod's in the runtime.
func (r *Pod) own() map[string]string { return map[string]string{LabelUID: string(r.pod.UID)} }

// removeSandboxes removes all that is the pod's in the runtime, with what outlived its shim.
func (r *Pod) removeSandboxes(ctx context.Context) error {
	err := r.node.Runtime.RemoveSandboxes(ctx, r.own())
	return errors.Join(err, r.node.Runtime.KillCgroup(ctx, r.node.cgroup(r.pod)))
}

// makeSandbox makes the pod's sandbox, in place of any that there may be, and watches it.
func (r *Pod) makeSandbox(ctx, watch context.Context) error {
	n := r.node
	for _, d := range []string{n.LogDir(r.pod), n.dir(r.pod)} {
		if err := state.Private(d); err != nil {
			return fmt.Errorf("make the pod's directories: %w", err)
		}
	}
	if r.sandboxes > 0 {
		if err := r.removeSandboxes(ctx); err != nil {
			return err
		}
	}
	config := n.sandboxConfig(r.pod, r.sandboxes)
	r.sandboxes++
	id, ip, err := n.Runtime.RunSandbox(ctx, config)
	if err != nil {
		return err // what is there of it goes with the next try, or with the pod
	}
	if r.pod.Spec.HostNetwork {
		ip = n.HostIP
	}
	r.sandbox, r.config = id, config
	r.pod.Status.PodIP, r.pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	if r.volumes == nil {
		r.volumes = r.newVolumes()
	}
	var sandboxCtx context.Context
	sandboxCtx, r.sandboxStop = context.WithCancel(watch)
	r.wg.Go(func() {
		select {
		case <-n.Exits.Wait(id):
			r.send(sandboxCtx, func() { r.lost(id) })
		case <-sandboxCtx.Done():
		}
	})
	return r.writeHosts()
}

func (r *Pod) newVolumes() *volume.Set {
	n := r.node
	return &volume.Set{
		Pod: r.pod, Objects: n.Objects, Tokens: n.Tokens, Now: time.Now,
		Dir: filepath.Join(n.dir(r.pod), "volumes"), Memory: n.memory(r.pod),
		Fields: fields{pod: r.pod, capacity: n.Capacity},
		Subject: token.Subject{
			Namespace:      r.pod.Namespace,
			ServiceAccount: token.Object{Name: r.pod.Spec.ServiceAccountName, UID: UID("ServiceAccount", r.pod.Namespace, r.pod.Spec.ServiceAccountName)},
			Pod:            token.Object{Name: r.pod.Name, UID: string(r.pod.UID)},
		},
	}
}

// writeHosts gives the pod its /etc/hosts, which containers of any user may read.
func (r *Pod) writeHosts() error {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if r.config.Hostname != "" {
		fmt.Fprintf(&b, "%s\t%s\n", r.pod.Status.PodIP, r.config.Hostname)
	}
	for _, a := range r.pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	err := os.WriteFile(r.hostsPath(), []byte(b.String()), 0o600)
	if err == nil {
		err = os.Chmod(r.hostsPath(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the pod's /etc/hosts: %w", err)
	}
	return nil
}

func (r *Pod) hostsPath() string { return filepath.Join(r.node.dir(r.pod), "hosts") }

// lost takes note that the sandbox ended: its first process, or the shim that keeps all of the
// pod's processes, was killed. Nothing can be started in it any more.
func (r *Pod) lost(id string) {
	if r.sandbox != id {
		return
	}
	r.event(Event{Warning: true, Message: "the pod's sandbox ended; its containers are started again in a new one"})
	r.sandboxLost = true
	// The pod leaves its Services' endpoints before the containers that still run are ended.
	for _, u := range r.units {
		u.ready = false
	}
}

// exitKilled is the exit code of a process that SIGKILL ended.
const exitKilled = 137

// leaveSandbox ends what still runs of the pod in its former sandbox, and makes all containers
// wait for a new one, init containers first, as a kubelet does.
func (r *Pod) leaveSandbox(ctx context.Context) {
	var apps, sidecars []*unit
	for _, u := range r.units {
		switch {
		case u.phase != running, !r.alive(ctx, u):
		case u.kind == sidecarKind:
			sidecars = append(sidecars, u)
		default:
			apps = append(apps, u)
		}
	}
	if len(apps)+len(sidecars) > 0 {
		r.report()
		sleep(ctx, min(leaveTime, r.grace()/2)) // others keep sending until they have heard of it
	}
	// What cannot be stopped so goes with the sandbox.
	_ = stopper{r: r, deadline: time.Now().Add(r.grace()), hooks: true}.stopAll(ctx, apps, sidecars)
	if ctx.Err() != nil {
		return // the pod is being taken down anyway
	}
	r.sandboxStop()
	r.sandbox, r.sandboxLost, r.initialized = "", false, false
	r.pod.Status.PodIP, r.pod.Status.PodIPs = "", nil
	for _, u := range r.units {
		r.again(u)
	}
}

// alive tells whether a container still runs; the loop may not have heard yet that it does not.
func (r *Pod) alive(ctx context.Context, u *unit) bool {
	st, err := r.node.Runtime.Exit(ctx, u.id)
	return err == nil && !st.Ended
}

// again lets a container start anew. By the pod's policy one that ran stays ended.
func (r *Pod) again(u *unit) {
	if u.phase == running {
		u.stop()
		u.exitCode = exitKilled
		u.ended = &corev1.ContainerStateTerminated{
			ExitCode: exitKilled, Reason: "ContainerStatusUnknown", Message: "the pod's sandbox ended", ContainerID: "containerd://" + u.id,
			StartedAt: metav1.NewTime(u.begun), FinishedAt: metav1.Now(),
		}
		u.phase, u.last = exited, u.ended
	}
	u.ready, u.started = false, u.spec.StartupProbe == nil
	u.failures, u.earliest = 0, time.Time{} // that it ended was not its fault
	u.reason, u.detail = "", ""
	switch policy := r.pod.Spec.RestartPolicy; {
	case u.attempt > 0 && policy == corev1.RestartPolicyNever:
	case u.kind == appKind && u.phase == exited && u.exitCode == 0 && policy == corev1.RestartPolicyOnFailure:
	default:
		u.phase, u.exitCode = waiting, 0
	}
}
