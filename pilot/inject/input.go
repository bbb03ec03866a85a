package inject

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// input is all that our own sidecar template sees. What it gives is kept by this (see additions), so a field that
// differs from pod to pod has to be in key, or to be verbatim.
type input struct {
	// These are the same for all pods of an injector. InboundTrafficPolicyMode is "localhost" or "passthrough", as
	// MeshConfig says.
	MeshConfig                                    *meshconfig.MeshConfig
	Values                                        map[string]any
	Revision, ClusterID, InboundTrafficPolicyMode string

	// ProxyConfig is the pod's: the mesh's with the annotation over it.
	ProxyConfig *meshconfig.ProxyConfig

	Network               string
	ProxyImage, InitImage string
	Resources             string // of the proxy, as JSON
	ProxyUID, ProxyGID    int64
	NativeSidecars        bool
	// StatusPort is the agent's port; 0 means that there are no probes.
	StatusPort int
	// Hold says that the application's containers wait for the proxy.
	Hold bool
	// SecurePorts lists the proxy's ports for metrics by mutual TLS, each after a comma: they are not captured.
	SecurePorts string
	// ServiceAccount is the pod's, TLSMode what its label says.
	ServiceAccount, TLSMode string
	// ObjectMeta has the pod's annotations, and nothing else.
	ObjectMeta metav1.ObjectMeta

	verbatim
}

// verbatim are texts which a template writes as they are, each as the whole of a value, or asks whether they are empty.
type verbatim struct {
	// WorkloadName and OwnerURI name the owner in telemetry, CanonicalName and CanonicalRevision the service.
	WorkloadName, OwnerURI           string
	CanonicalName, CanonicalRevision string
	// FirstApp is the first of the containers without the proxy, AppContainers are all, PodPorts their ports as JSON.
	FirstApp, AppContainers, PodPorts string
	// Resource is what the proxy says of its service by OpenTelemetry's conventions; "" where nobody asks.
	Resource string
}

// texts gives the fields.
func (v *verbatim) texts() []*string {
	return []*string{
		&v.WorkloadName, &v.OwnerURI, &v.CanonicalName, &v.CanonicalRevision, &v.FirstApp, &v.AppContainers, &v.PodPorts, &v.Resource,
	}
}

// tell notes what our own template asks of a pod.
func (i *input) tell(meta metav1.ObjectMeta, spec *corev1.PodSpec, workload string) (err error) {
	i.ObjectMeta = metav1.ObjectMeta{Annotations: meta.Annotations}
	i.ServiceAccount, i.TLSMode = spec.ServiceAccountName, meta.Labels["security.istio.io/tlsMode"]
	i.WorkloadName = workload
	i.CanonicalName, i.CanonicalRevision = canonicalName(meta.Labels, workload), canonicalRevision(meta.Labels)
	apps := appContainers(*spec)
	i.FirstApp, i.AppContainers = firstNonEmpty(apps...), strings.Join(apps, ",")
	if i.PodPorts, err = podPorts(*spec); err != nil {
		return fmt.Errorf("the ports of the containers: %w", err)
	}
	return nil
}

// key tells inputs of one injector apart. common is the ProxyConfig that most of its pods have.
func (i *input) key(common *meshconfig.ProxyConfig) ([]byte, error) {
	out := make([]byte, 0, 1<<10)
	text := func(all ...string) {
		for _, s := range all {
			out = append(binary.AppendUvarint(out, uint64(len(s))), s...)
		}
	}
	number := func(all ...int64) {
		for _, n := range all {
			out = binary.AppendVarint(out, n)
		}
	}
	truth := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	own := ""
	if i.ProxyConfig != common {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(i.ProxyConfig)
		if err != nil {
			return nil, fmt.Errorf("ProxyConfig: %w", err)
		}
		own = string(data)
	}
	number(truth(i.ProxyConfig != common), truth(i.NativeSidecars), truth(i.Hold), int64(i.StatusPort), i.ProxyUID, i.ProxyGID)
	text(own, i.Network, i.ProxyImage, i.InitImage, i.Resources, i.SecurePorts, i.ServiceAccount, i.TLSMode)
	for _, t := range i.texts() {
		text(*t)
	}
	for _, name := range slices.Sorted(maps.Keys(i.ObjectMeta.Annotations)) {
		text(name, i.ObjectMeta.Annotations[name])
	}
	return out, nil
}
