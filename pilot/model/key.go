// Package model holds the mesh's nouns: configuration objects and their keys, services,
// endpoints, proxies and problems. It is the vocabulary in which the stages of the control
// plane speak to each other; it holds no logic of any stage and does no I/O.
package model

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// Kind names a kind of configuration object as users write it in YAML, e.g. "VirtualService".
type Kind string

// The kinds that the control plane reads. Deployment is read only to run workloads locally.
const (
	KindNamespace             Kind = "Namespace"
	KindServiceAccount        Kind = "ServiceAccount"
	KindService               Kind = "Service"
	KindPod                   Kind = "Pod"
	KindEndpointSlice         Kind = "EndpointSlice"
	KindDeployment            Kind = "Deployment"
	KindConfigMap             Kind = "ConfigMap"
	KindSecret                Kind = "Secret"
	KindIngress               Kind = "Ingress"
	KindIngressClass          Kind = "IngressClass"
	KindMeshConfig            Kind = "MeshConfig"
	KindMeshNetworks          Kind = "MeshNetworks"
	KindVirtualService        Kind = "VirtualService"
	KindDestinationRule       Kind = "DestinationRule"
	KindGateway               Kind = "Gateway"
	KindServiceEntry          Kind = "ServiceEntry"
	KindWorkloadEntry         Kind = "WorkloadEntry"
	KindWorkloadGroup         Kind = "WorkloadGroup"
	KindSidecar               Kind = "Sidecar"
	KindPeerAuthentication    Kind = "PeerAuthentication"
	KindEnvoyFilter           Kind = "EnvoyFilter"
	KindProxyConfig           Kind = "ProxyConfig" // read at injection only
	KindTelemetry             Kind = "Telemetry"
	KindAuthorizationPolicy   Kind = "AuthorizationPolicy"
	KindRequestAuthentication Kind = "RequestAuthentication"
	KindTrustBundle           Kind = "TrustBundle" // what the CA says of its roots; nobody writes it
)

// Key identifies one configuration object. Namespace is empty for cluster-scoped kinds.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
	// Cluster is the remote cluster that has the object; "" for the control plane's own.
	Cluster string
}

// String gives the form used in messages: Kind/namespace/name, or Kind/name; of a remote cluster with
// the cluster's name after "@".
func (k Key) String() string {
	if k.Cluster != "" {
		cluster := k.Cluster
		k.Cluster = ""
		return k.String() + "@" + cluster
	}
	if k.Namespace == "" {
		return string(k.Kind) + "/" + k.Name
	}
	return string(k.Kind) + "/" + k.Namespace + "/" + k.Name
}

// Compare orders keys by kind, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(string(k.Kind), string(o.Kind)),
		strings.Compare(k.Namespace, o.Namespace), strings.Compare(k.Name, o.Name), strings.Compare(k.Cluster, o.Cluster))
}

// Origin is where an object was read: a file with the 1-based line on which its YAML document
// starts, or empty for an API server. It is never put into a resource's bytes.
type Origin struct {
	File string
	Line int
	// AsOf is when the file was read, in seconds of Unix, where it has had another text since that was refused, so that
	// Line is of a text that is no more; 0 for all else.
	AsOf int64
}

// String gives FILE:LINE, and says of what text that is where it is not the present one.
func (o Origin) String() string {
	out := fmt.Sprintf("%s:%d", o.File, o.Line)
	if read := o.Read(); read != "" {
		out += " (" + read + ")"
	}
	return out
}

// Read says when the text was read, where it is not the present one.
func (o Origin) Read() string {
	if o.AsOf == 0 {
		return ""
	}
	return "as last read at " + time.Unix(o.AsOf, 0).Format(time.TimeOnly)
}

// Object is one parsed, validated and defaulted configuration object. It is immutable once
// a source has emitted it; nobody may write through its pointers.
type Object struct {
	Key
	Created     time.Time // zero where the source knows none
	Labels      map[string]string
	Annotations map[string]string
	// Spec is the typed content. For Kubernetes kinds the whole object (*corev1.Service,
	// *corev1.Pod and *corev1.Secret, or *Pod and *Secret where only proxies matter, *corev1.Namespace, *corev1.ServiceAccount, *corev1.ConfigMap,
	// *discoveryv1.EndpointSlice, *appsv1.Deployment, *networkingv1.Ingress, *networkingv1.IngressClass); for Istio kinds the spec message of
	// istio.io/api (*networking/v1alpha3.VirtualService, …DestinationRule, …Gateway, …Sidecar, …EnvoyFilter,
	// …ServiceEntry, …WorkloadEntry, …WorkloadGroup, *security/v1beta1.PeerAuthentication, …AuthorizationPolicy,
	// …RequestAuthentication, *telemetry/v1alpha1.Telemetry); for KindMeshConfig *mesh/v1alpha1.MeshConfig,
	// for KindMeshNetworks *mesh/v1alpha1.MeshNetworks.
	Spec any
	// Status is what of an object's status decides about proxies, nil for none: the addresses of a
	// ServiceEntry (*networking/v1alpha3.ServiceEntryStatus), the condition ConditionHealthy of a
	// WorkloadEntry (*meta/v1alpha1.IstioStatus).
	Status proto.Message
	Origin Origin
	// Sources are what asked for each part of an object that is made of Ingresses: of a Gateway's servers, or of a
	// VirtualService's rules for HTTP, in order. What no part could be made of follows them. An object as users write
	// it has none.
	Sources []MadeOf
}

// MadeOf is a field of an object that a part of another one is made of.
type MadeOf struct {
	Object Key
	Field  string // path; "" for the object as a whole
	Origin Origin // of the object
	Fault  string // why no part could be made of it; "" where one is
	Reason Reason // of the fault
}

// Faults gives as problems what no part of an object that is made of others could be made of. They are warnings where
// the others are right, and are only not translated or not whole.
func (o *Object) Faults() (out []Problem) {
	for _, s := range o.Sources {
		if s.Fault != "" {
			p := Problem{Object: s.Object, Field: s.Field, Severity: SeverityWarning, Reason: s.Reason, Message: s.Fault, Origin: s.Origin}
			if s.Reason == ReasonReference {
				p.Severity = SeverityError
			}
			out = append(out, p)
		}
	}
	return out
}

// MadeOf gives what asked for the part of an object in which a field stands. ok is false for an object as users
// write it.
func (o *Object) MadeOf(field string) (m MadeOf, ok bool) {
	if len(o.Sources) == 0 {
		return MadeOf{}, false
	}
	for _, path := range []string{"spec.http[%d]", "spec.servers[%d]"} {
		var at int
		if _, err := fmt.Sscanf(field, path, &at); err == nil && at < len(o.Sources) {
			return o.Sources[at], true
		}
	}
	return MadeOf{Object: o.Sources[0].Object, Origin: o.Sources[0].Origin}, true
}

// Written gives what users wrote of which an object is made, each once: the object itself, or Ingresses.
func (o *Object) Written() []MadeOf {
	if len(o.Sources) == 0 {
		return []MadeOf{{Object: o.Key, Origin: o.Origin}}
	}
	var out []MadeOf
	for _, s := range o.Sources {
		if whole := (MadeOf{Object: s.Object, Origin: s.Origin}); !slices.Contains(out, whole) {
			out = append(out, whole)
		}
	}
	return out
}

// TrustBundle is the Spec of a KindTrustBundle: the roots that peers are verified against, each in PEM, first
// the one that certificates are signed by now.
type TrustBundle struct{ Roots []string }

// Older orders objects of one kind for tie-breaks: by creation time, an unknown one before all
// others (so that the order is total), then by name and namespace, as in Istio (invariant 12).
func Older(a, b *Object) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name), a.Compare(b.Key))
}

// SameSpec tells whether two objects of one kind have equal contents, the status among it.
func SameSpec(a, b *Object) bool {
	if !proto.Equal(a.Status, b.Status) {
		return false
	}
	x, isProto := a.Spec.(proto.Message)
	y, bothProto := b.Spec.(proto.Message)
	if isProto && bothProto {
		return proto.Equal(x, y)
	}
	if _, isPod := a.Spec.(*Pod); isPod { // which change all the time, and have nothing that is equal in other ways
		return reflect.DeepEqual(a.Spec, b.Spec)
	}
	return apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
}

// Same tells whether two objects of one key are equal, wherever they were read.
func Same(a, b *Object) bool {
	return a.Created.Equal(b.Created) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && SameSpec(a, b)
}

// Event tells that an object was added (Old nil), changed, or deleted (New nil).
type Event struct {
	Key
	Old, New *Object
}

// Sink takes what a source finds. Calls for one source come from one goroutine at a time.
type Sink interface {
	// Apply hands over a batch of events that belong together. problems are all that the named
	// source currently has to report about objects which it left out (they replace the former).
	Apply(source string, events []Event, problems []Problem)
	// Synced tells that the source has delivered its initial state.
	Synced(source string)
}
