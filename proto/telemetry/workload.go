package telemetry

import (
	"cmp"
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Workload is what metrics say of one side of a request. Empty fields are not known.
type Workload struct {
	Name      string
	Namespace string
	// Canonical and Revision are the canonical service and its revision.
	Canonical, Revision string
	App, Version        string // labels
	Cluster             string
	// Principal is a SPIFFE ID, and known only for mutual TLS.
	Principal string
}

// The keys of a workload in Istio's peer header.
const (
	keyNamespace = "NAMESPACE"
	keyWorkload  = "WORKLOAD_NAME"
	keyCluster   = "CLUSTER_ID"
	keyLabels    = "LABELS"

	labelCanonical = "service.istio.io/canonical-name"
	labelRevision  = "service.istio.io/canonical-revision"
	labelApp       = "app"
	labelVersion   = "version"
)

// latest is the revision of a workload that names none.
const latest = "latest"

// WorkloadOf gives a workload by the labels of its pods.
func WorkloadOf(name, namespace, cluster string, labels map[string]string) Workload {
	first := func(otherwise string, keys ...string) string {
		for _, k := range keys {
			if v := labels[k]; v != "" {
				return v
			}
		}
		return otherwise
	}
	return Workload{
		Name: name, Namespace: namespace, Cluster: cluster,
		Canonical: first(name, labelCanonical, "app.kubernetes.io/name", labelApp),
		Revision:  first(latest, labelRevision, "app.kubernetes.io/version", labelVersion),
		App:       labels[labelApp], Version: labels[labelVersion],
	}
}

// PeerHeaderValue gives the value of PeerHeader. It names no pod, so that what a server counts does not
// grow with its clients' pods; the same workload gives the same text.
func (w Workload) PeerHeaderValue() (string, error) {
	text := func(fields map[string]string) *structpb.Struct {
		out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for k, v := range fields {
			if v != "" {
				out.Fields[k] = structpb.NewStringValue(v)
			}
		}
		return out
	}
	peer := text(map[string]string{keyNamespace: w.Namespace, keyWorkload: w.Name, keyCluster: w.Cluster})
	peer.Fields[keyLabels] = structpb.NewStructValue(text(map[string]string{
		labelCanonical: w.Canonical, labelRevision: w.Revision, labelApp: w.App, labelVersion: w.Version,
	}))
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(peer)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// maxPeer bounds the peer header that is decoded, in bytes; Istio's own is about 500.
const maxPeer = 8 << 10

// fromPeerHeader reads the value of PeerHeader; what is none gives a workload that is not known.
func fromPeerHeader(text string) Workload {
	if text == "" {
		return Workload{}
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Workload{}
	}
	var out Workload
	sound := structFields(data, func(key string, v structValue) bool {
		switch key {
		case keyWorkload:
			out.Name = v.text
		case keyNamespace:
			out.Namespace = v.text
		case keyCluster:
			out.Cluster = v.text
		case keyLabels:
			out.Canonical, out.Revision, out.App, out.Version = "", "", "", ""
			return structFields(v.fields, out.takeLabel)
		}
		return true
	})
	if !sound {
		return Workload{}
	}
	return out
}

func (w *Workload) takeLabel(key string, v structValue) bool {
	switch key {
	case labelCanonical:
		w.Canonical = v.text
	case labelRevision:
		w.Revision = v.text
	case labelApp:
		w.App = v.text
	case labelVersion:
		w.Version = v.text
	}
	return true
}

// EndpointValue gives what an endpoint's metadata says of its workload: "name;namespace;canonical
// service;revision;cluster", as Istio writes it, and ";app;version" where the labels of these names say
// otherwise than the canonical ones. An empty cluster is that of the proxy which reads it.
func (w Workload) EndpointValue() string {
	revision := w.Revision
	if revision == latest {
		revision = ""
	}
	out := strings.Join([]string{w.Name, w.Namespace, w.Canonical, revision, w.Cluster}, ";")
	if w.App != w.Canonical || w.Version != revision {
		out += ";" + w.App + ";" + w.Version
	}
	return out
}

// fromEndpoint reads an EndpointValue.
func fromEndpoint(text string) Workload {
	parts := strings.Split(text, ";")
	if len(parts) < 5 {
		return Workload{}
	}
	w := Workload{Name: parts[0], Namespace: parts[1], Canonical: parts[2], Revision: parts[3], Cluster: parts[4]}
	if len(parts) < 7 {
		w.App, w.Version = w.Canonical, w.Revision
	} else {
		w.App, w.Version = parts[5], parts[6]
	}
	return w
}

// shortMark begins the value of ShortPeerHeader, and is in no base64.
const shortMark = ";"

// ShortPeerValue gives the value of ShortPeerHeader: EndpointValue without the namespace, which the identity proves.
// Where it does not, there is no such value.
func (w Workload) ShortPeerValue() string {
	if w.Namespace == "" || namespaceOf(w.Principal) != w.Namespace {
		return ""
	}
	name, rest, _ := strings.Cut(w.EndpointValue(), ";")
	_, rest, _ = strings.Cut(rest, ";")
	return shortMark + name + ";" + rest
}

// PeerEnvironment gives the variables of Envoy's process by which it says who it is. None is empty, since Envoy would
// leave a header without a value as the application sent it.
func (w Workload) PeerEnvironment() (map[string]string, error) {
	value, err := w.PeerHeaderValue()
	return map[string]string{PeerVariable: value, ShortPeerVariable: cmp.Or(w.ShortPeerValue(), value)}, err
}

// fromPeer reads what PeerFormat composed.
func fromPeer(text string) Workload {
	if len(text) > maxPeer {
		return Workload{}
	}
	if id, short, ok := strings.Cut(text, shortMark); ok {
		if id != "" {
			return Workload{}
		}
		name, rest, _ := strings.Cut(short, ";")
		return fromEndpoint(name + ";;" + rest)
	}
	if len(text)%4 == 1 { // base64 has groups of four
		text = text[1:]
	}
	return fromPeerHeader(text)
}

// namespaceOf gives the namespace that a SPIFFE ID proves: spiffe://domain/ns/NAMESPACE/sa/ACCOUNT.
func namespaceOf(principal string) string {
	_, rest, ok := strings.Cut(principal, "/ns/")
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(rest, "/")
	return namespace
}
