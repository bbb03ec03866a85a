package push

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Node is a proxy as it described itself in its first request.
type Node struct {
	model.Proxy
	EnvoyVersion string // e.g. "1.40.0"; empty where it is unknown
}

// ParseNode reads the node of a first request. The ID has the form type~ip~pod.namespace~domain.
func ParseNode(n *corev3.Node) (*Node, error) {
	if n == nil || n.GetId() == "" {
		return nil, fmt.Errorf("node: the first request carries no node ID")
	}
	parts := strings.Split(n.GetId(), "~")
	if len(parts) != 4 {
		return nil, fmt.Errorf("node ID %q: has %d parts, want type~ip~pod.namespace~domain", n.GetId(), len(parts))
	}
	out := &Node{Proxy: model.Proxy{
		ID: n.GetId(), Type: model.ProxyType(parts[0]), DNSDomain: parts[3],
		Metadata: n.GetMetadata().AsMap(),
	}}
	if out.Type != model.SidecarProxy && out.Type != model.RouterProxy {
		return nil, fmt.Errorf("node ID %q: type %q is not served, want %s or %s",
			n.GetId(), parts[0], model.SidecarProxy, model.RouterProxy)
	}
	if err := out.names(parts[2]); err != nil {
		return nil, err
	}
	if err := out.addresses(parts[1]); err != nil {
		return nil, err
	}
	out.attributes()
	out.Locality = model.Locality{
		Region: n.GetLocality().GetRegion(), Zone: n.GetLocality().GetZone(), SubZone: n.GetLocality().GetSubZone(),
	}
	if v := n.GetUserAgentBuildVersion().GetVersion(); v != nil {
		out.EnvoyVersion = fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	return out, nil
}

// names sets the pod's name and namespace; metadata wins over the ID, the ID over the domain.
func (n *Node) names(podAndNamespace string) error {
	n.Name, n.Namespace = podAndNamespace, n.text("NAMESPACE")
	if i := strings.LastIndexByte(podAndNamespace, '.'); i >= 0 {
		n.Name = podAndNamespace[:i]
		if n.Namespace == "" {
			n.Namespace = podAndNamespace[i+1:]
		}
	}
	if n.Namespace == "" {
		n.Namespace, _, _ = strings.Cut(n.DNSDomain, ".")
	}
	if n.Name == "" || n.Namespace == "" {
		return fmt.Errorf("node ID %q: names no pod and namespace", n.ID)
	}
	return nil
}

func (n *Node) addresses(fromID string) error {
	all := strings.FieldsFunc(n.text("INSTANCE_IPS"), func(r rune) bool { return r == ',' || r == ' ' })
	if len(all) == 0 {
		all = []string{fromID}
	}
	for _, s := range all {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("node ID %q: address %q: %w", n.ID, s, err)
		}
		n.IPs = append(n.IPs, ip.String())
	}
	return nil
}

func (n *Node) attributes() {
	n.ServiceAccount = n.text("SERVICE_ACCOUNT")
	n.ClusterID = n.text("CLUSTER_ID")
	n.Network = n.text("NETWORK")
	n.IstioVersion = n.text("ISTIO_VERSION")
	n.Interception = n.text("INTERCEPTION_MODE")
	n.DNSCapture = n.flag("DNS_CAPTURE")
	if n.Interception == "" {
		n.Interception = "REDIRECT"
	}
	if m, ok := n.Metadata["LABELS"].(map[string]any); ok {
		n.Labels = make(map[string]string, len(m))
		for k, v := range m {
			if s, ok := v.(string); ok {
				n.Labels[k] = s
			}
		}
	}
}

func (n *Node) text(key string) string {
	s, _ := n.Metadata[key].(string)
	return s
}

// flag reads a boolean, which agents write as a JSON boolean or as a string.
func (n *Node) flag(key string) bool {
	switch v := n.Metadata[key].(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	}
	return false
}
