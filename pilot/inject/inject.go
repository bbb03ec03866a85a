// Package inject gives a pod its proxy: it decides whether a pod is wanted in the mesh, renders
// the templates and merges them into the pod. It is pure, but for the secret of a pod's probes, whose
// source is an option; the admission webhook, kube-inject and the local node call it with pods of
// theirs.
package inject

import (
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The containers that templates give a pod.
const (
	InitContainer = "istio-init"

	// Istio's templates have two more: one that looks whether a CNI plugin did the work of InitContainer,
	// and has to be the first, and one that lets the proxy's memory be dumped.
	validationContainer = "istio-validation"
	coreDumpContainer   = "enable-core-dump"
)

// DefaultRevision is the revision whose name users may leave out.
const DefaultRevision = "default"

// Options says how pods are injected.
type Options struct {
	// Mesh is the mesh's configuration; nil stands for the defaults.
	Mesh *meshconfig.MeshConfig
	// ProxyConfigs are the ProxyConfig objects of all namespaces.
	ProxyConfigs []*model.Object
	// Values is YAML that is laid over the embedded defaults (files/values.yaml).
	Values []byte
	// Config is the injector's configuration (policy, selectors, templates) as YAML; its fields
	// win over those in Values.
	Config []byte
	// Revision is the control plane's; "" is the same as "default".
	Revision string
	// ClusterID and Network say where the pods run. Empty: as Values say.
	ClusterID string
	Network   string
	// NativeSidecar runs the proxy as an init container that stays, unless a pod's annotation
	// says otherwise.
	NativeSidecar bool
	// Random gives the secret of each pod's probes; nil is crypto/rand.Reader. A source that repeats
	// itself makes injection repeatable.
	Random io.Reader
}

// Owner is the workload that a pod belongs to. If it is empty, the pod's own references tell.
type Owner struct {
	Kind, Name, APIVersion string
}

// Injector injects pods. Nothing of it changes but what it keeps to be faster, and it may be used by many at once.
type Injector struct {
	mesh     *meshconfig.MeshConfig
	objects  []*model.Object // of kind ProxyConfig
	values   map[string]any
	settings *settings
	config   *config
	policy   Policy
	// templates holds each template by name.
	templates map[string]parsedTemplate
	// additions are of our own sidecar template, if that is the one that pods get: keeps tells.
	additions *additions
	keeps     bool
	pods      filler
	resources string // of proxies, as JSON, where their pods say nothing
	revision  string
	clusterID string
	network   string
	native    bool
	random    io.Reader
}

// New checks the options and parses all templates. The error names what is wrong with the configuration as
// a whole; what concerns single templates is told by Problems and to the pods that ask for them.
func New(o Options) (*Injector, error) {
	values, err := loadValues(o.Values)
	if err != nil {
		return nil, err
	}
	s, err := readSettings(values)
	if err != nil {
		return nil, err
	}
	c, err := loadConfig(s, o.Config)
	if err != nil {
		return nil, err
	}
	mesh := completeMesh(o.Mesh)
	proxyConfigs, err := newProxyConfigWriter(mesh.GetDefaultConfig())
	if err != nil {
		return nil, err
	}
	templates, err := parseTemplates(c.Templates, functions(proxyConfigs))
	if err != nil {
		return nil, err
	}
	in := &Injector{
		mesh: mesh, objects: o.ProxyConfigs, values: values, settings: s, config: c, templates: templates, pods: newFiller(reflect.TypeFor[corev1.Pod]()),
		revision: o.Revision, clusterID: o.ClusterID, network: o.Network, native: o.NativeSidecar,
		random: o.Random, additions: newAdditions(),
	}
	if in.keeps, err = isOurs(ownTemplate, c.Templates); err != nil {
		return nil, err
	}
	if in.resources, err = toJSON(s.Global.Proxy.Resources); err != nil {
		return nil, err
	}
	in.policy = policyOf(s, c, o.Revision)
	if in.random == nil {
		in.random = rand.Reader
	}
	if in.revision == "" {
		in.revision = DefaultRevision
	}
	if in.clusterID == "" {
		in.clusterID = s.Global.MultiCluster.ClusterName
	}
	if in.clusterID == "" {
		in.clusterID = "Kubernetes"
	}
	if in.network == "" {
		in.network = s.Global.Network
	}
	return in, nil
}

// completeMesh fills in what injection needs.
func completeMesh(mesh *meshconfig.MeshConfig) *meshconfig.MeshConfig {
	if mesh == nil {
		return model.DefaultMeshConfig()
	}
	mesh = proto.CloneOf(mesh)
	if mesh.DefaultConfig == nil {
		mesh.DefaultConfig = model.DefaultProxyConfig()
	}
	if mesh.TrustDomain == "" {
		mesh.TrustDomain = "cluster.local"
	}
	return mesh
}

// Pod gives the pod with its proxy, and tells whether it was injected; if not, the result is
// a copy of the pod. What an injected pod points to may be a part of others as well: who changes that copies it first.
// ns is the pod's namespace; if it is nil, its labels decide nothing, as
// for kube-inject. A pod that was injected before is injected anew.
func (in *Injector) Pod(pod *corev1.Pod, ns *corev1.Namespace, owner Owner) (*corev1.Pod, bool, error) {
	out, injected, err := in.pod(pod, pod.DeepCopy(), ns, owner)
	if err != nil {
		return nil, false, fmt.Errorf("pod %s: %w", podName(pod), err)
	}
	return out, injected, nil
}

// pod injects a copy of a pod.
func (in *Injector) pod(original, pod *corev1.Pod, ns *corev1.Namespace, owner Owner) (*corev1.Pod, bool, error) {
	if !in.policy.Injects(subjectOf(pod, ns)) {
		return pod, false, nil
	}
	if err := checkAnnotations(pod.Annotations); err != nil {
		return nil, false, err
	}
	former, err := undo(pod)
	if err != nil {
		return nil, false, err
	}
	if wasInjected(original) { // else there was nothing to take back
		original = pod.DeepCopy()
	}
	data, err := in.data(original, ns, owner) // nobody changes either
	if err != nil {
		return nil, false, err
	}
	out, err := in.render(pod, data)
	if err != nil {
		return nil, false, err
	}
	if err := keepAdded(out, former); err != nil {
		return nil, false, err
	}
	setAnnotations(out, in.config.InjectedAnnotations)
	if err := in.rewriteProbes(out, data); err != nil {
		return nil, false, err
	}
	if err := in.mergePrometheus(out, data); err != nil {
		return nil, false, err
	}
	annotateSecurePorts(out)
	reorder(out, original, data)
	if err := writeStatus(out, original, in.revision); err != nil {
		return nil, false, err
	}
	return out, true, nil
}

// podName names a pod in messages; one of a workload has no name yet.
func podName(pod *corev1.Pod) string {
	name := pod.Name
	if name == "" {
		name = pod.GenerateName + "*"
	}
	if pod.Namespace != "" {
		name = pod.Namespace + "/" + name
	}
	return name
}

func setAnnotations(pod *corev1.Pod, annotations map[string]string) {
	if len(annotations) == 0 {
		return
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	maps.Copy(pod.Annotations, annotations)
}

// reorder puts the containers in the order in which they have to start. A native sidecar, which is an init
// container, runs before the pod's own init containers, so that these have the network; otherwise the
// network is redirected last, when only the proxy is left to start.
func reorder(pod, original *corev1.Pod, data *templateData) {
	native := slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == model.ProxyContainer })
	const first, last = -4, 1 << 30
	rank := func(name string, init bool, own []corev1.Container) int {
		switch {
		case name == model.ProxyContainer && !init && !data.Hold:
			return last
		case name == model.ProxyContainer:
			return first + 2
		case name == validationContainer && init:
			return first + 1
		case name == InitContainer && init && native:
			return first
		case name == coreDumpContainer && init && native:
			return first + 3
		case name == InitContainer && init:
			return last
		case name == coreDumpContainer && init:
			return last + 1
		}
		if i := slices.IndexFunc(own, func(c corev1.Container) bool { return c.Name == name }); i >= 0 {
			return i
		}
		return len(own)
	}
	sortBy := func(containers []corev1.Container, init bool, own []corev1.Container) {
		slices.SortStableFunc(containers, func(a, b corev1.Container) int {
			return rank(a.Name, init, own) - rank(b.Name, init, own)
		})
	}
	sortBy(pod.Spec.InitContainers, true, original.Spec.InitContainers)
	sortBy(pod.Spec.Containers, false, original.Spec.Containers)
}
