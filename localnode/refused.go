package localnode

import (
	"log/slog"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/pod"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// refuse tells once why a workload does not run; it is tried again when something changes. The control
// plane is told as a kubelet tells it, by the status of a pod, and has it among the problems.
func (c *controller) refuse(owner string, err error) {
	if c.refused[owner] == err.Error() {
		return
	}
	c.refused[owner] = err.Error()
	c.cfg.Events(Event{Kind: EventWarning, Event: pod.Event{Pod: owner, Warning: true, Message: err.Error()}})
	file, p := refusal(owner)
	p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: model.PodNotAdmitted, Message: err.Error()}
	if err := c.files.put(file, p); err != nil {
		c.log.Error("the control plane does not know of a refused workload", slog.String("workload", owner), slog.Any("error", err))
	}
}

// admitted takes back that a workload was refused, if it was.
func (c *controller) admitted(owner string) {
	if _, was := c.refused[owner]; !was {
		return
	}
	delete(c.refused, owner)
	file, _ := refusal(owner)
	if err := c.files.remove(file); err != nil {
		c.log.Error("the control plane takes a workload for refused", slog.String("workload", owner), slog.Any("error", err))
	}
}

// refusal gives the file in which a workload, KIND/NAMESPACE/NAME, is told as refused, and its pod.
func refusal(owner string) (string, *corev1.Pod) {
	parts := strings.SplitN(owner, "/", 3)
	return fileName("refused-"+parts[0], parts[1], parts[2]), &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: parts[1], Name: parts[2]},
	}
}
