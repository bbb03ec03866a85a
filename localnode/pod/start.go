package pod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// Reasons of a container that waits, as kubectl shows them.
const (
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
	reasonImage        = "ErrImagePull"
	reasonConfig       = "CreateContainerConfigError"
	reasonRun          = "RunContainerError"
	reasonCrash        = "CrashLoopBackOff"
)

// start starts a container and its probes. What fails is told, and tried again after a back-off.
func (r *Pod) start(ctx, watch context.Context, u *unit) {
	id, reason, err := r.create(ctx, u)
	if err != nil {
		if ctx.Err() == nil && runtime.IsAway(err) {
			u.earliest = time.Now().Add(retryInterval)
		} else if ctx.Err() == nil {
			u.failures++
			u.earliest = time.Now().Add(max(backoff(u.failures, r.node.MaxBackoff), retryInterval))
			u.reason, u.detail = reason, err.Error()
			r.warn(u.spec.Name, err)
		}
		return
	}
	u.id, u.phase, u.begun, u.ended = id, running, time.Now(), nil
	u.started = u.spec.StartupProbe == nil
	u.ready = u.started && u.spec.ReadinessProbe == nil
	u.reason, u.detail = "", ""
	log := r.node.logFile(r.pod, u.spec.Name, u.attempt)
	r.dropLog(u)
	u.attempt++
	var unitCtx context.Context
	unitCtx, u.stop = context.WithCancel(watch)
	r.wg.Go(func() {
		select {
		case <-r.node.Exits.Wait(id):
			r.send(unitCtx, func() { r.exited(unitCtx, u, id) })
		case <-unitCtx.Done():
		}
	})
	r.wg.Go(func() { r.rotate(unitCtx, id, log) })
	if err := r.hook(ctx, u, postStart(u.spec)); err != nil {
		r.warn(u.spec.Name, fmt.Errorf("postStart hook: %w", err))
		r.kill(unitCtx, u, nil)
		return
	}
	r.wg.Go(func() { r.probe(unitCtx, u, id) })
}

// create makes and starts the container in the runtime; reason classifies an error.
func (r *Pod) create(ctx context.Context, u *unit) (id, reason string, err error) {
	n := r.node
	image, err := n.Images.Resolve(ctx, u.spec.Image)
	if err != nil {
		return "", reasonImage, err
	}
	message := r.messagePath(u.spec.Name)
	if err := os.WriteFile(message, nil, 0o600); err != nil {
		return "", reasonConfig, fmt.Errorf("make the termination message: %w", err)
	}
	// Any user of the container may write it, whatever our umask is.
	if err := os.Chmod(message, 0o666); err != nil {
		return "", reasonConfig, fmt.Errorf("make the termination message: %w", err)
	}
	config, err := n.containerConfig(r.pod, request{
		spec: u.spec, attempt: u.attempt, image: image, volumes: r.volumes, hosts: r.hostsPath(), message: message,
		fields: fields{pod: r.pod, container: u.spec, capacity: n.Capacity},
	})
	if err != nil {
		return "", reasonConfig, err
	}
	if err := state.Private(filepath.Join(n.LogDir(r.pod), u.spec.Name)); err != nil {
		return "", reasonConfig, fmt.Errorf("make the log's directory: %w", err)
	}
	if err := n.Runtime.RemoveContainers(ctx, r.sandbox, map[string]string{LabelContainer: u.spec.Name}); err != nil {
		return "", reasonRun, err
	}
	r.warnBypass(ctx, u, image, config.GetLinux().GetSecurityContext())
	id, err = n.Runtime.StartContainer(ctx, r.sandbox, config, r.config)
	return id, reasonRun, err
}

// exited takes note of how a container ended, and decides how long its restart has to wait.
func (r *Pod) exited(ctx context.Context, u *unit, id string) {
	if u.id != id || u.phase != running {
		return
	}
	u.stop()
	st, err := r.node.Runtime.Exit(context.WithoutCancel(ctx), id)
	if err != nil {
		r.warn(u.spec.Name, err)
		st.Code, st.Reason = -1, "Unknown"
	}
	u.phase, u.exitCode, u.ready, u.started = exited, st.Code, false, u.spec.StartupProbe == nil
	message := lastBytes(r.messagePath(u.spec.Name))
	u.ended = &corev1.ContainerStateTerminated{
		ExitCode: st.Code, Reason: st.Reason, Message: string(message), ContainerID: "containerd://" + id,
		StartedAt: metav1.NewTime(st.Started), FinishedAt: metav1.NewTime(st.Finished),
	}
	u.last = u.ended
	if time.Since(u.begun) >= backoffReset {
		u.failures = 0
	}
	if u.kind == initKind && st.Code == 0 {
		return
	}
	u.failures++
	u.earliest = time.Now().Add(backoff(u.failures, r.node.MaxBackoff))
	u.reason, u.detail = reasonCrash, fmt.Sprintf("ended with exit code %d", st.Code)
	if st.Code != 0 {
		r.event(Event{
			Container: u.spec.Name, Warning: true, LogTail: r.logTail(u),
			Message: fmt.Sprintf("container %s ended with exit code %d%s", u.spec.Name, st.Code, colon(string(message))),
		})
	}
}

// lastBytes gives the end of a file that a container wrote, which may be of any size. One that
// cannot be read says nothing.
func lastBytes(path string) []byte {
	const maxMessage = 4096 // as a kubelet cuts it
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b := make([]byte, maxMessage)
	n, _ := f.ReadAt(b, max(info.Size()-maxMessage, 0))
	return b[:n]
}

func colon(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	return ": " + s
}

// probe runs the container's probes until its context ends.
func (r *Pod) probe(ctx context.Context, u *unit, id string) {
	if !r.probeStartup(ctx, u, id) {
		return
	}
	if p := u.spec.LivenessProbe; p != nil {
		r.wg.Go(func() {
			r.ask(ctx, u, id, "liveness", p, false, func(well bool, err error) bool {
				if !well {
					r.send(ctx, func() { r.failedProbe(ctx, u, id, "liveness", p, err) })
				}
				return well
			})
		})
	}
	if p := u.spec.ReadinessProbe; p != nil {
		r.ask(ctx, u, id, "readiness", p, true, func(well bool, _ error) bool {
			return r.send(ctx, func() { u.ready = well && u.id == id && u.phase == running })
		})
	}
}

// probeStartup gives true when the container has started.
func (r *Pod) probeStartup(ctx context.Context, u *unit, id string) bool {
	p := u.spec.StartupProbe
	if p == nil {
		return true
	}
	ok := false
	r.ask(ctx, u, id, "startup", p, true, func(well bool, err error) bool {
		ok = r.send(ctx, func() {
			if !well {
				r.failedProbe(ctx, u, id, "startup", p, err)
			} else if u.id == id && u.phase == running {
				u.started, u.ready = true, u.spec.ReadinessProbe == nil
			}
		}) && well
		return false
	})
	return ok
}

// ask runs one probe of the container.
func (r *Pod) ask(ctx context.Context, u *unit, id, name string, p *corev1.Probe, eager bool, report func(bool, error) bool) {
	check, err := r.target(u, id).checkOf(p.ProbeHandler)
	if err != nil {
		r.send(ctx, func() { r.warn(u.spec.Name, fmt.Errorf("%s probe: %w", name, err)) })
		return
	}
	failing := func(err error) {
		s := name + " probe: " + err.Error()
		u.probed.Store(&s)
	}
	prober{thresholds: thresholdsOf(p), check: check, eager: eager, failing: failing}.run(ctx, report)
}

func (r *Pod) target(u *unit, id string) target {
	return target{
		spec: u.spec, ip: r.pod.Status.PodIP, dial: r.node.Dial,
		exec: func(ctx context.Context, cmd []string) error {
			timeout := time.Minute
			if d, ok := ctx.Deadline(); ok {
				timeout = time.Until(d)
			}
			out, code, err := r.node.Runtime.ExecSync(ctx, id, cmd, timeout)
			if err == nil && code != 0 {
				err = fmt.Errorf("%q ended with exit code %d%s", cmd, code, colon(string(out)))
			}
			return err
		},
	}
}

// failedProbe stops a container whose probe gave it up; that it ended starts it again.
func (r *Pod) failedProbe(ctx context.Context, u *unit, id, name string, p *corev1.Probe, err error) {
	if u.id != id || u.phase != running {
		return
	}
	r.event(Event{
		Container: u.spec.Name, Warning: true, LogTail: r.logTail(u),
		Message: fmt.Sprintf("container %s is restarted: its %s probe failed: %v", u.spec.Name, name, err),
	})
	r.kill(ctx, u, p.TerminationGracePeriodSeconds)
}

// kill stops a running container beside the loop.
func (r *Pod) kill(ctx context.Context, u *unit, seconds *int64) {
	grace := r.grace()
	if seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	id := u.id
	r.wg.Go(func() {
		if err := r.node.Runtime.StopContainer(context.WithoutCancel(ctx), id, grace); err != nil {
			r.send(ctx, func() { r.warn(u.spec.Name, err) })
		}
	})
}
