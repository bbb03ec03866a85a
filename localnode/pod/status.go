package pod

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
)

// UID gives an identity that depends on nothing but the object's name, for objects that no API
// server has given one.
func UID(kind, namespace, name string) string {
	h := sha1.Sum([]byte(kind + "/" + namespace + "/" + name))
	h[6] = h[6]&0x0f | 0x50 // version 5
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// report publishes the pod's status when it differs from the one published last.
func (r *Pod) report() {
	st := &r.pod.Status
	st.InitContainerStatuses, st.ContainerStatuses = nil, nil
	allReady, anyBegun := true, false
	for _, u := range r.units {
		cs := r.containerStatus(u)
		if u.kind == appKind {
			st.ContainerStatuses = append(st.ContainerStatuses, cs)
			anyBegun = anyBegun || u.phase != waiting
		} else {
			st.InitContainerStatuses = append(st.InitContainerStatuses, cs)
		}
		if u.kind != initKind {
			allReady = allReady && u.ready
		}
	}
	if r.phase == corev1.PodPending && r.initialized && anyBegun {
		r.phase = corev1.PodRunning
	}
	st.Phase = r.phase
	ready := allReady && r.initialized && r.phase == corev1.PodRunning
	if ready {
		r.complainAt = time.Time{}
	} else if r.complainAt.IsZero() {
		r.complainAt = time.Now().Add(firstComplaint)
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for _, c := range []struct {
		kind corev1.PodConditionType
		is   bool
	}{
		{corev1.PodScheduled, true},
		{corev1.PodReadyToStartContainers, r.sandbox != ""},
		{corev1.PodInitialized, r.initialized},
		{corev1.ContainersReady, ready},
		{corev1.PodReady, ready},
	} {
		setCondition(st, c.kind, c.is, now)
	}
	if r.published == nil || !equality.Semantic.DeepEqual(r.published, r.pod) {
		r.published = r.pod.DeepCopy()
		r.publish(r.published)
	}
}

// isReady tells whether the pod was reported ready last.
func (r *Pod) isReady() bool {
	for _, c := range r.pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func setCondition(st *corev1.PodStatus, kind corev1.PodConditionType, is bool, now metav1.Time) {
	want := corev1.ConditionFalse
	if is {
		want = corev1.ConditionTrue
	}
	for i := range st.Conditions {
		if c := &st.Conditions[i]; c.Type == kind {
			if c.Status != want {
				c.Status, c.LastTransitionTime = want, now
			}
			return
		}
	}
	st.Conditions = append(st.Conditions, corev1.PodCondition{Type: kind, Status: want, LastTransitionTime: now})
}

func (r *Pod) containerStatus(u *unit) corev1.ContainerStatus {
	started := u.phase == running && u.started
	cs := corev1.ContainerStatus{
		Name: u.spec.Name, Image: u.spec.Image, RestartCount: int32(max(u.attempt-1, 0)),
		Ready: u.ready, Started: &started,
	}
	if u.id != "" {
		cs.ContainerID = "containerd://" + u.id
	}
	switch {
	case u.phase == running:
		cs.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(u.begun)}
	case u.phase == exited && (u.reason == "" || r.phase == corev1.PodSucceeded || r.phase == corev1.PodFailed):
		cs.State.Terminated = u.ended
		cs.Ready = u.kind == initKind && u.exitCode == 0
	default:
		cs.State.Waiting = &corev1.ContainerStateWaiting{Reason: r.waitReason(u), Message: u.detail}
	}
	if cs.State.Terminated == nil && u.last != nil {
		cs.LastTerminationState.Terminated = u.last
	}
	return cs
}

func (r *Pod) waitReason(u *unit) string {
	switch {
	case u.reason != "":
		return u.reason
	case u.kind == appKind && !r.initialized && len(r.pod.Spec.InitContainers) > 0:
		return reasonInitializing
	}
	return reasonCreating
}

// warn tells the user of an error, once as long as it stays the same.
func (r *Pod) warn(container string, err error) {
	msg := err.Error()
	if container != "" {
		msg = "container " + container + ": " + msg
	}
	if msg == r.told {
		return
	}
	r.told = msg
	r.event(Event{Container: container, Warning: true, Message: msg})
}

func (r *Pod) event(e Event) {
	e.Pod = r.pod.Namespace + "/" + r.pod.Name
	r.node.Log.Debug("pod event", "pod", e.Pod, "container", e.Container, "message", e.Message)
	r.node.Events(e)
}

// A pod that is not ready is complained of after a while, and then again and again.
const (
	firstComplaint = 20 * time.Second
	nextComplaint  = time.Minute
)

// complain tells why the pod is not ready: the first container that is not, what its probe said
// and its last lines.
func (r *Pod) complain() {
	if r.complainAt.IsZero() || time.Now().Before(r.complainAt) {
		return
	}
	r.complainAt = time.Now().Add(nextComplaint)
	for _, u := range r.units {
		if u.kind == initKind && u.phase == exited && u.exitCode == 0 || u.kind != initKind && u.ready {
			continue
		}
		why := u.detail
		if p := u.probed.Load(); u.phase == running && p != nil {
			why = *p
		} else if u.phase == running {
			why = "it has not ended yet"
		}
		r.event(Event{
			Container: u.spec.Name, Warning: true, LogTail: r.logTail(u),
			Message: fmt.Sprintf("pod is not ready, it waits for container %s%s", u.spec.Name, colon(why)),
		})
		return
	}
}

// tailLines is how much of a log an event shows.
const tailLines = 10

// logTail gives the last lines of the container's present or last run.
func (r *Pod) logTail(u *unit) []string {
	path := r.node.logFile(r.pod, u.spec.Name, max(u.attempt-1, 0))
	var b bytes.Buffer
	if err := runtime.ReadLog(context.Background(), path, runtime.LogOptions{Tail: tailLines}, &b); err != nil || b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
