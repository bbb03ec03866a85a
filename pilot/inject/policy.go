package inject

import (
	"cmp"
	"slices"

	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Policy is what of an injector's configuration decides which pods it injects. It can be told to other programs.
type Policy struct {
	// Revision is the control plane's.
	Revision string `json:"revision"`
	// Tags are other names by which Namespaces and pods choose the revision; tag default takes all of the default one's.
	Tags []string `json:"tags,omitempty"`
	// Mode is "enabled" or "disabled": what happens to a pod about which nothing else is said. With any other no pod
	// is injected, as Istio does.
	Mode string `json:"mode"`
	// ByDefault tells that pods of Namespaces without a label are injected.
	ByDefault bool `json:"byDefault,omitempty"`
	// Never and Always win over the mode, in this order. An empty selector selects nothing.
	Never  []metav1.LabelSelector `json:"never,omitempty"`
	Always []metav1.LabelSelector `json:"always,omitempty"`
}

// Subject is a pod about whose injection is decided.
type Subject struct {
	Namespace string
	// NamespaceLabels are those of its Namespace; nil where that is not known, so that they decide nothing.
	NamespaceLabels     map[string]string
	Labels, Annotations map[string]string
	HostNetwork         bool
}

// subjectOf gives what decides about a pod; ns is nil where the Namespace is not known.
func subjectOf(pod *corev1.Pod, ns *corev1.Namespace) Subject {
	out := Subject{Namespace: pod.Namespace, Labels: pod.Labels, Annotations: pod.Annotations, HostNetwork: pod.Spec.HostNetwork}
	if ns != nil {
		out.Namespace, out.NamespaceLabels = ns.Name, ns.Labels
		if out.NamespaceLabels == nil {
			out.NamespaceLabels = map[string]string{}
		}
	}
	return out
}

// Policy gives what decides which pods the injector injects.
func (in *Injector) Policy() Policy { return in.policy }

// DefaultPolicy is that of an injector of which nobody has said anything.
func DefaultPolicy() Policy {
	out, err := ReadPolicy(nil, nil, "")
	if err != nil {
		panic(err) // it is a part of this program
	}
	return out
}

// ReadPolicy gives the policy of an injector of a revision by what its ConfigMap holds, as in Options.
func ReadPolicy(values, config []byte, revision string) (Policy, error) {
	over, err := loadValues(values)
	if err != nil {
		return Policy{}, err
	}
	s, err := readSettings(over)
	if err != nil {
		return Policy{}, err
	}
	c, err := loadConfig(s, config)
	if err != nil {
		return Policy{}, err
	}
	return policyOf(s, c, revision), nil
}

// policyOf takes from the settings of an injector what decides which pods it injects.
func policyOf(s *settings, c *config, revision string) Policy {
	return Policy{
		Revision: cmp.Or(revision, DefaultRevision), Mode: c.Policy, ByDefault: s.Webhook.EnableNamespacesByDefault,
		Never: c.NeverInjectSelector, Always: c.AlwaysInjectSelector,
	}
}

// InjectsPod decides about a pod of a Namespace, which is nil where it is not known.
func (p Policy) InjectsPod(pod *corev1.Pod, ns *corev1.Namespace) bool {
	return p.Injects(subjectOf(pod, ns))
}

// Injects decides whether a pod gets a proxy. What is said nearer to the pod wins, except that a Namespace may keep
// its pods out altogether.
func (p Policy) Injects(s Subject) bool {
	switch {
	case p.Mode != modeEnabled && p.Mode != modeDisabled, s.HostNetwork, slices.Contains(model.ClusterNamespaces(), s.Namespace):
		// Redirecting the node's own network would cut the node off.
		return false
	case s.NamespaceLabels != nil && !p.asked(s):
		return false
	}
	if said := model.PodInjection(s.Labels, s.Annotations); said == "true" || said == "false" {
		return said == "true"
	}
	switch {
	case selects(p.Never, s.Labels):
		return false
	case selects(p.Always, s.Labels):
		return true
	}
	return p.Mode == modeEnabled
}

// The modes of a policy.
const modeEnabled, modeDisabled = "enabled", "disabled"

// asked tells whether this revision is asked at all, as the selectors of the admission webhooks do: the Namespace's
// injection label, then its revision or tag, then the pod's.
func (p Policy) asked(s Subject) bool {
	names := append(slices.Clone(p.Tags), cmp.Or(p.Revision, DefaultRevision))
	isDefault := slices.Contains(names, DefaultRevision)
	injection, hasInjection := s.NamespaceLabels[model.LabelInjection]
	nsRevision, hasNsRevision := s.NamespaceLabels[label.IoIstioRev.Name]
	podRevision, hasPodRevision := s.Labels[label.IoIstioRev.Name]
	podInject := s.Labels[label.SidecarInject.Name]
	if podInject == "false" {
		return false
	}
	switch {
	case hasInjection:
		return injection == "enabled" && isDefault
	case hasNsRevision:
		return slices.Contains(names, nsRevision)
	case hasPodRevision:
		return slices.Contains(names, podRevision)
	}
	return isDefault && (podInject == "true" || p.ByDefault)
}

// selects tells whether one of the selectors matches. An empty one is a slip: it would match every pod.
func selects(all []metav1.LabelSelector, of map[string]string) bool {
	return slices.ContainsFunc(all, func(one metav1.LabelSelector) bool {
		s, err := metav1.LabelSelectorAsSelector(&one)
		return err == nil && !s.Empty() && s.Matches(labels.Set(of))
	})
}
