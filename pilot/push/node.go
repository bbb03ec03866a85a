package push

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// Node is a proxy as it described itself in its first request.
type Node struct {
	model.Proxy
	EnvoyVersion string // e.g. "1.40.0"; empty where it is unknown
	// Identity is what the caller proved, NAMESPACE/SERVICEACCOUNT; empty for a caller without proof.
	Identity string
	// WorkloadEntry names the one that the proxy is, of its namespace (ISTIO_META_WORKLOAD_ENTRY); "" where it
	// does not say so.
	WorkloadEntry string
	// Group names the WorkloadGroup of its namespace that the proxy wants to be registered by
	// (ISTIO_META_AUTO_REGISTER_GROUP); "" for none. Probed tells that its agent tells its application's health.
	Group  string
	Probed bool
}

// Proved notes what the caller proved; pod is "" for a proof that is bound to none, and foreign tells that it is of
// another cluster.
func (n *Node) Proved(identity, account, pod string, foreign bool) {
	n.Identity, n.Proof = identity, &model.Proof{ServiceAccount: account, Pod: pod, Foreign: foreign}
}

// Gateway tells whether the proxy is one.
func (n *Node) Gateway() bool { return n.Type == model.RouterProxy }

// ParseNode reads the node of a first request. The ID has the form type~ip~pod.namespace~domain. All
// that is kept of a node is bounded in length and of the form that Kubernetes gives it. It may come from
// a caller without proof, and goes into logs, metrics, pages and terminals.
func ParseNode(n *corev3.Node) (*Node, error) {
	if n == nil || n.GetId() == "" {
		return nil, fmt.Errorf("node: the first request carries no node ID")
	}
	if len(n.GetId()) > maxNodeID {
		return nil, fmt.Errorf("node ID: has %d bytes, at most %d are allowed", len(n.GetId()), maxNodeID)
	}
	parts := strings.Split(n.GetId(), "~")
	if len(parts) != 4 {
		return nil, fmt.Errorf("node ID %q: has %d parts, want type~ip~pod.namespace~domain", n.GetId(), len(parts))
	}
	out := &Node{Proxy: model.Proxy{
		ID: n.GetId(), Type: model.ProxyType(parts[0]), DNSDomain: parts[3],
	}}
	if out.Type != model.SidecarProxy && out.Type != model.RouterProxy {
		return nil, fmt.Errorf("node ID %q: type %q is not served, want %s or %s",
			n.GetId(), parts[0], model.SidecarProxy, model.RouterProxy)
	}
	md := metadata(n.GetMetadata().GetFields())
	if err := cmp.Or(out.names(parts[2], md), out.addresses(parts[1], md), out.attributes(md)); err != nil {
		return nil, err
	}
	out.Metadata = md.texts()
	out.Locality = model.Locality{
		Region: n.GetLocality().GetRegion(), Zone: n.GetLocality().GetZone(), SubZone: n.GetLocality().GetSubZone(),
	}
	if v := n.GetUserAgentBuildVersion().GetVersion(); v != nil {
		out.EnvoyVersion = fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	return out, nil
}

// names sets the pod's name and namespace; metadata wins over the ID, the ID over the domain.
func (n *Node) names(podAndNamespace string, md metadata) error {
	name, ofID := podAndNamespace, ""
	if i := strings.LastIndexByte(podAndNamespace, '.'); i >= 0 {
		name, ofID = podAndNamespace[:i], podAndNamespace[i+1:]
	}
	ofDomain, _, _ := strings.Cut(n.DNSDomain, ".")
	n.Name, n.Namespace = name, cmp.Or(md.text("NAMESPACE"), ofID, ofDomain)
	if n.Name == "" || n.Namespace == "" {
		return fmt.Errorf("node ID %q: names no pod and namespace", n.ID)
	}
	return nil
}

func (n *Node) addresses(fromID string, md metadata) error {
	all := strings.FieldsFunc(md.text("INSTANCE_IPS"), func(r rune) bool { return r == ',' || r == ' ' })
	if len(all) == 0 {
		all = []string{fromID}
	}
	if len(all) > maxAddresses {
		return fmt.Errorf("node ID %q: has %d addresses, at most %d are allowed", n.ID, len(all), maxAddresses)
	}
	for _, s := range all {
		if len(s) > maxAddress {
			return fmt.Errorf("node ID %q: an address has %d bytes, at most %d are allowed", n.ID, len(s), maxAddress)
		}
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("node ID %q: address %q: %w", n.ID, s, err)
		}
		n.IPs = append(n.IPs, ip.Unmap().WithZone("").String()) // a zone is a name of the proxy's own machine
	}
	return nil
}

func (n *Node) attributes(md metadata) error {
	n.ServiceAccount = md.text("SERVICE_ACCOUNT")
	n.ClusterID = md.text("CLUSTER_ID")
	n.Network = md.text("NETWORK")
	n.NetworkView = strings.FieldsFunc(md.text("REQUESTED_NETWORK_VIEW"), func(r rune) bool { return r == ',' || r == ' ' })
	n.WorkloadEntry = md.text("WORKLOAD_ENTRY")
	n.Group = md.text("AUTO_REGISTER_GROUP")
	n.Proxy.Node = md.text("NODE_NAME")
	n.IstioVersion = md.text("ISTIO_VERSION")
	n.Interception = cmp.Or(md.text("INTERCEPTION_MODE"), "REDIRECT")
	n.DNSCapture = md.flag("DNS_CAPTURE")
	n.HTTP10 = md.text("HTTP10") == "1" // as Istio reads it
	n.Unprivileged, _ = strconv.ParseBool(md.text("UNPRIVILEGED_POD"))
	n.AsksForBootstrap = md.flag(bootstrap.Asked)
	n.LongPeer = !md.flag(telemetry.ShortPeerMetadata)
	if port, err := strconv.ParseUint(md.text("HTTP_PROXY_PORT"), 10, 16); err == nil {
		n.HTTPProxyPort = uint32(port)
	}
	config := md["PROXY_CONFIG"].GetStructValue().GetFields()
	n.Probed = config["readinessProbe"].GetStructValue() != nil
	n.Topology = topology(config["gatewayTopology"].GetStructValue())
	n.Connections = connections(config["connectionSettings"].GetStructValue(), n.Type)
	n.Headers = proxyHeaders(config["proxyHeaders"].GetStructValue())
	n.LogService = config["envoyAccessLogService"].GetStructValue().GetFields()["address"].GetStringValue() != ""
	if m := md["LABELS"].GetStructValue(); m != nil {
		if len(m.GetFields()) > maxLabels {
			return fmt.Errorf("node ID %q: has %d labels, at most %d are allowed", n.ID, len(m.GetFields()), maxLabels)
		}
		n.Labels = make(map[string]string, len(m.GetFields()))
		for k, v := range m.GetFields() {
			if s, ok := v.GetKind().(*structpb.Value_StringValue); ok {
				n.Labels[k] = s.StringValue
			}
		}
	}
	return nil
}

// topology reads a gateway's ProxyConfig.
func topology(s *structpb.Struct) *model.Topology {
	if s == nil {
		return nil
	}
	f := s.GetFields()
	out := &model.Topology{ProxyProtocol: f["proxyProtocol"].GetStructValue() != nil}
	if n := f["numTrustedProxies"].GetNumberValue(); n > 0 && n <= maxTrustedProxies {
		out.TrustedProxies = uint32(n)
	}
	if name := f["forwardClientCertDetails"].GetStringValue(); meshconfig.ForwardClientCertDetails_value[name] != 0 {
		out.ClientCert = name
	}
	return out
}

// metadata is what a node says of itself beside its ID; most of it is for others.
type metadata map[string]*structpb.Value

func (m metadata) text(key string) string { return m[key].GetStringValue() }

// texts gives the short texts, the first of so many by name.
func (m metadata) texts() map[string]string {
	out := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if s := m.text(key); s != "" && len(key)+len(s) <= maxMetadataText && len(out) < maxMetadataTexts {
			out[key] = s
		}
	}
	return out
}

// What is kept of a node's metadata for patches that ask for it.
const (
	maxMetadataText  = 128 // bytes of a name and its text
	maxMetadataTexts = 32
)

// flag reads a boolean, which agents write as a JSON boolean or as a string.
func (m metadata) flag(key string) bool {
	s := m.text(key)
	return m[key].GetBoolValue() || s == "true" || s == "1"
}
