package model

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Pod is what of a Kubernetes Pod decides about proxies. A mesh has a hundred thousand of them, of which
// the whole objects would be most of the control plane's memory. Labels are those of the Object.
type Pod struct {
	IP                  string // "" for none yet
	ServiceAccount      string
	Hostname, Subdomain string
	Node                string    // that it runs on; "" for none yet
	Workload            string    // the name of what it is a replica of, e.g. the Deployment's
	Ports               []PodPort // that have names: of containers first, then of native sidecars
	Ready               bool
	Lost                bool // it would be ready, but its node has not been heard of
	Deleting            bool // it is being terminated
	Ended               bool // its containers have ended for good
	HostNetwork         bool // its address is that of its node, as other pods may have it
	LongPeer            bool // it has a proxy that may know the long form alone in which proxies say who they are
}

// PodNotAdmitted is the reason in a pod's status by which a kubelet tells that it does not run it at all.
const PodNotAdmitted = "UnexpectedAdmissionError"

// PodPort is a container port with a name, as a Service's targetPort may name it.
type PodPort struct {
	Name   string
	Number uint32
	UDP    bool
}

// Labels of a pod that name what it is a replica of.
const (
	labelWorkloadName = "service.istio.io/workload-name"
	labelTemplateHash = "pod-template-hash"
)

// NewPod takes from a Kubernetes Pod what decides about proxies.
func NewPod(pod *corev1.Pod) *Pod {
	ready := isTrue(pod, corev1.PodReady)
	return &Pod{
		IP: CanonicalIP(pod.Status.PodIP), ServiceAccount: cmp.Or(pod.Spec.ServiceAccountName, "default"),
		Hostname: pod.Spec.Hostname, Subdomain: pod.Spec.Subdomain,
		Node: pod.Spec.NodeName, Workload: workloadName(pod), Ports: podPorts(pod),
		Ready: ready, Lost: !ready && wouldBeReady(pod),
		Deleting:    pod.DeletionTimestamp != nil,
		Ended:       pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
		HostNetwork: pod.Spec.HostNetwork,
		LongPeer:    pod.Annotations[AnnotationPeers] != PeersShort && hasProxy(pod),
	}
}

// hasProxy tells whether a pod has a proxy, as far as its label or the name of a container says.
func hasProxy(pod *corev1.Pod) bool {
	return pod.Labels[LabelTLSMode] == TLSModeIstio || ProxyContainerOf(&pod.Spec) != nil
}

// isTrue reads a condition.
func isTrue(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}

// wouldBeReady tells whether a pod has all of which a kubelet makes its readiness. Where it is not ready all the
// same, the controllers have said so, since the node is not ready (Kubernetes, MarkPodsNotReady).
func wouldBeReady(pod *corev1.Pod) bool {
	return isTrue(pod, corev1.ContainersReady) && !slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool {
		return !isTrue(pod, g.ConditionType)
	})
}

// podPorts lists the named ports. Init containers count where they keep running, after the others, as
// the endpoint controller of Kubernetes has it.
func podPorts(pod *corev1.Pod) []PodPort {
	var out []PodPort
	add := func(c *corev1.Container) {
		for i := range c.Ports {
			if p := &c.Ports[i]; p.Name != "" && p.ContainerPort > 0 {
				out = append(out, PodPort{p.Name, uint32(p.ContainerPort), p.Protocol == corev1.ProtocolUDP})
			}
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	return slices.Clip(out)
}

// PortNamed finds the number of a container port by its name and protocol; 0 for none.
func (p *Pod) PortNamed(name string, udp bool) uint32 {
	for _, port := range p.Ports {
		if port.Name == name && port.UDP == udp {
			return port.Number
		}
	}
	return 0
}

// workloadName gives the name of what the pod is a replica of: of its Deployment rather than of
// the ReplicaSet between them; the pod's own name for a pod on its own.
func workloadName(pod *corev1.Pod) string {
	if name := pod.Labels[labelWorkloadName]; name != "" {
		return name
	}
	hash := pod.Labels[labelTemplateHash]
	for i := range pod.OwnerReferences {
		owner := &pod.OwnerReferences[i]
		if owner.Controller != nil && !*owner.Controller {
			continue
		}
		if owner.Kind == "ReplicaSet" && hash != "" {
			return strings.TrimSuffix(owner.Name, "-"+hash)
		}
		return owner.Name
	}
	if hash != "" {
		if name, _, ok := strings.Cut(pod.Name, "-"+hash+"-"); ok {
			return name
		}
	}
	return pod.Name
}
