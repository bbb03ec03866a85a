package inject

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"istio.io/api/annotation"
	"istio.io/api/label"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// defaultStatusPort is the agent's where nothing says otherwise.
const defaultStatusPort = 15020

// defaultProxyID is the user and the group of the proxy.
const defaultProxyID = 1337

// templateData is what a template sees. The names of its fields are known to users' templates.
type templateData struct {
	// input has fields for all templates. It is what our own ones see.
	input
	// TypeMeta and DeploymentMeta tell the workload that owns the pod.
	TypeMeta       metav1.TypeMeta
	DeploymentMeta types.NamespacedName
	// ObjectMeta and Spec are the pod's own.
	ObjectMeta metav1.ObjectMeta
	Spec       corev1.PodSpec
	// CompliancePolicy is for templates of Istio's; there is none here.
	CompliancePolicy string

	// rewrite says whether the application's probes go through the agent.
	rewrite bool
}

func (in *Injector) data(pod *corev1.Pod, ns *corev1.Namespace, owner Owner) (*templateData, error) {
	namespace := pod.Namespace
	if namespace == "" && ns != nil {
		namespace = ns.Name
	}
	objects := proxyConfigsFor(in.objects, cmp.Or(in.mesh.GetRootNamespace(), model.RootNamespace), namespace, pod.Labels)
	pc, err := proxyConfig(objects.beneath(in.mesh.DefaultConfig), pod.Annotations)
	if err != nil {
		return nil, err
	}
	pc = objects.above(pc)
	if pc.InterceptionMode == meshconfig.ProxyConfig_TPROXY {
		return nil, fmt.Errorf("ProxyConfig: interceptionMode: TPROXY is not supported; use REDIRECT or NONE")
	}
	s := in.settings
	d := &templateData{
		ObjectMeta: pod.ObjectMeta,
		Spec:       pod.Spec,
		input: input{
			ProxyConfig: pc, MeshConfig: in.mesh, Values: in.values,
			Revision: in.revision, ClusterID: in.clusterID, Network: in.network,
			NativeSidecars: annotatedBool(pod, annotation.SidecarNativeSidecar.Name, in.native),
			ProxyUID:       defaultProxyID, ProxyGID: defaultProxyID,
			InboundTrafficPolicyMode: "passthrough", Hold: s.Global.Proxy.Hold,
		},
		rewrite: annotatedBool(pod, annotation.SidecarRewriteAppHTTPProbers.Name, s.Webhook.RewriteAppHTTPProbe),
	}
	if pc.HoldApplicationUntilProxyStarts != nil {
		d.Hold = pc.HoldApplicationUntilProxyStarts.Value
	}
	if d.ObjectMeta.Namespace == "" && ns != nil {
		d.ObjectMeta.Namespace = ns.Name
	}
	if network := pod.Labels[label.TopologyNetwork.Name]; network != "" {
		d.Network = network
	}
	if in.mesh.GetInboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_InboundTrafficPolicy_LOCALHOST {
		d.InboundTrafficPolicyMode = "localhost"
	}
	for _, variable := range []string{envSecureEnvoy, envSecureMerged} {
		if port := pc.ProxyMetadata[variable]; port != "" && port != "0" {
			d.SecurePorts += "," + port
		}
	}
	d.StatusPort = in.statusPort(pc, pod.Annotations)
	if d.Resources, err = resources(pod.Annotations, in.resources); err != nil {
		return nil, err
	}
	d.images(s, pod.Annotations)
	if ns != nil {
		d.ProxyUID, d.ProxyGID = openShiftUser(ns.Annotations, d.ProxyUID, d.ProxyGID)
	}
	d.proxyUser(pod)
	d.own(pod, owner)
	d.Resource = d.resource()
	return d, d.input.tell(d.ObjectMeta, &d.Spec, d.DeploymentMeta.Name)
}

// statusPort gives the agent's port for probes: the annotation's, else that of ProxyConfig. Both may turn
// probes off.
func (in *Injector) statusPort(pc *meshconfig.ProxyConfig, annotations map[string]string) int {
	if text, ok := annotations[annotation.SidecarStatusPort.Name]; ok {
		if port, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
			return port
		}
	}
	if in.settings.Global.Proxy.StatusPort != 0 && pc.StatusPort != 0 {
		return int(pc.StatusPort)
	}
	return in.settings.Global.Proxy.StatusPort
}

func (d *templateData) images(s *settings, annotations map[string]string) {
	variant := s.Global.Variant
	if t := d.ProxyConfig.GetImage().GetImageType(); t != "" {
		variant = t
	}
	if t := annotations[annotation.SidecarProxyImageType.Name]; t != "" {
		variant = t
	}
	d.InitImage = s.image(s.Global.ProxyInit.Image, variant)
	d.ProxyImage = s.image(s.Global.Proxy.Image, variant)
	if image := annotations[annotation.SidecarProxyImage.Name]; image != "" {
		d.InitImage, d.ProxyImage = image, image
	}
}

// proxyUser takes over the user that the pod itself gives its proxy, so that the redirection
// spares that one.
func (d *templateData) proxyUser(pod *corev1.Pod) {
	for _, c := range allContainers(pod) {
		if c.Name != model.ProxyContainer || c.SecurityContext == nil {
			continue
		}
		if c.SecurityContext.RunAsUser != nil {
			d.ProxyUID = *c.SecurityContext.RunAsUser
		}
		if c.SecurityContext.RunAsGroup != nil {
			d.ProxyGID = *c.SecurityContext.RunAsGroup
		}
	}
}

// openShiftUser gives the last user and group of the ranges that OpenShift has allotted to a namespace. The
// first of them are those of its applications, whose traffic must not be taken for the proxy's.
func openShiftUser(annotations map[string]string, uid, gid int64) (int64, int64) {
	users := annotations["openshift.io/sa.scc.uid-range"]
	groups, _, _ := strings.Cut(firstNonEmpty(annotations["openshift.io/sa.scc.supplemental-groups"], users), ",")
	if last, ok := lastOf(users); ok {
		uid = last
	}
	if last, ok := lastOf(groups); ok {
		gid = last
	}
	return uid, gid
}

// lastOf reads a range, START/SIZE or START-END.
func lastOf(text string) (int64, bool) {
	text = strings.TrimSpace(text)
	if first, size, ok := strings.Cut(text, "/"); ok {
		a, err := strconv.ParseUint(first, 10, 32)
		n, sizeErr := strconv.ParseUint(size, 10, 32)
		return int64(a+n) - 1, err == nil && sizeErr == nil && n > 0 && a+n <= math.MaxUint32
	}
	first, last, _ := strings.Cut(text, "-")
	a, err := strconv.ParseUint(first, 10, 32)
	b, lastErr := strconv.ParseUint(last, 10, 32)
	return int64(b), err == nil && lastErr == nil && a <= b
}

// own finds out the workload: as given, else by the pod's references, else the pod itself. The pod's label
// may call it otherwise.
func (d *templateData) own(pod *corev1.Pod, owner Owner) {
	if owner.Name == "" {
		owner = referredOwner(pod)
	}
	if name := pod.Labels["service.istio.io/workload-name"]; name != "" {
		owner.Name = name
	}
	d.TypeMeta = metav1.TypeMeta{Kind: owner.Kind, APIVersion: owner.APIVersion}
	d.DeploymentMeta = types.NamespacedName{Name: owner.Name, Namespace: d.ObjectMeta.Namespace}
	if owner.Name != "" && owner.Kind != "" && owner.APIVersion != "" {
		namespace := d.ObjectMeta.Namespace
		if namespace == "" {
			namespace = "default"
		}
		d.OwnerURI = fmt.Sprintf("kubernetes://apis/%s/namespaces/%s/%ss/%s",
			owner.APIVersion, namespace, strings.ToLower(owner.Kind), owner.Name)
	}
}

// cronJobRun is the name of a Job that a CronJob made: with the minutes since 1970.
var cronJobRun = regexp.MustCompile(`^(.+)-\d{8,10}$`)

func referredOwner(pod *corev1.Pod) Owner {
	self := Owner{Kind: "Pod", APIVersion: "v1", Name: pod.Name}
	if self.Name == "" {
		self.Name = strings.TrimSuffix(pod.GenerateName, "-")
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return self
	}
	owner := Owner{Kind: ref.Kind, APIVersion: ref.APIVersion, Name: ref.Name}
	// A Deployment names its ReplicaSets after the hash of the pod template.
	hash := pod.Labels["pod-template-hash"]
	if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" && ref.Kind == "ReplicaSet" {
		owner.Kind, owner.Name = "Deployment", name
	}
	// A CronJob names its Jobs after the minute in which they are due, a DeploymentConfig labels its pods.
	if made := cronJobRun.FindStringSubmatch(ref.Name); made != nil && ref.Kind == "Job" {
		owner.Kind, owner.Name = "CronJob", made[1]
	}
	if name := pod.Labels["deploymentconfig"]; name != "" && ref.Kind == "ReplicationController" {
		owner = Owner{Kind: "DeploymentConfig", APIVersion: "apps.openshift.io/v1", Name: name}
	}
	return owner
}

// annotatedBool gives the value of a checked annotation.
func annotatedBool(pod *corev1.Pod, name string, fallback bool) bool {
	if v, err := strconv.ParseBool(pod.Annotations[name]); err == nil {
		return v
	}
	return fallback
}

// allContainers gives pointers to all containers of a pod, init containers first.
func allContainers(pod *corev1.Pod) []*corev1.Container {
	var out []*corev1.Container
	for i := range pod.Spec.InitContainers {
		out = append(out, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		out = append(out, &pod.Spec.Containers[i])
	}
	return out
}

// findProxy gives the proxy's container, or nil.
func findProxy(pod *corev1.Pod) *corev1.Container {
	for _, c := range allContainers(pod) {
		if c.Name == model.ProxyContainer {
			return c
		}
	}
	return nil
}
