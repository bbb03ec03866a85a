package push

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// nodeWith gives a sound node whose metadata has one more field.
func nodeWith(field string, value *structpb.Value) *corev3.Node {
	return &corev3.Node{
		Id:       "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{field: value}},
	}
}

func manyLabels(n int) *structpb.Value {
	fields := map[string]*structpb.Value{}
	for i := range n {
		fields[fmt.Sprintf("l%d", i)] = structpb.NewStringValue("x")
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

func label(key, value string) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewStringValue(value)}})
}

func TestEveryFieldOfANodeIsBounded(t *testing.T) {
	text := structpb.NewStringValue
	long := strings.Repeat("x", 5<<20)
	nodes := map[string]*corev3.Node{
		"ID of 5 MB":             {Id: "sidecar~10.0.0.1~web.shop~" + long},
		"ID of 1025 bytes":       {Id: "sidecar~10.0.0.1~web.shop~" + strings.Repeat("x", 1025-26)},
		"escape in the pod":      {Id: "sidecar~10.0.0.1~web\x1b]0;x\a.shop~shop.svc.cluster.local"},
		"newline in the pod":     {Id: "sidecar~10.0.0.1~web\nFORGED.shop~shop.svc.cluster.local"},
		"escape in the domain":   {Id: "sidecar~10.0.0.1~web.shop~shop\x1b[2J"},
		"upper case namespace":   {Id: "sidecar~10.0.0.1~web.Shop~shop.svc.cluster.local"},
		"zone with an escape":    {Id: "sidecar~fe80::1%" + long[:100] + "\x1b~web.shop~shop.svc.cluster.local"},
		"escape in the address":  {Id: "sidecar~\x1b[2J~web.shop~shop", Metadata: nodeWith("INSTANCE_IPS", structpb.NewStringValue("10.0.0.1")).Metadata},
		"locality":               {Id: nodeWith("", nil).Id, Locality: &corev3.Locality{Region: long}},
		"locality with a bell":   {Id: nodeWith("", nil).Id, Locality: &corev3.Locality{Zone: "a\a"}},
		"sub-zone with a return": {Id: nodeWith("", nil).Id, Locality: &corev3.Locality{SubZone: "a\r"}},
	}
	for field, values := range map[string][]*structpb.Value{
		"NAMESPACE":         {text(long), text("a.b"), text("a\x1b"), text("../x")},
		"SERVICE_ACCOUNT":   {text(long), text("a b"), text("a\n")},
		"ISTIO_VERSION":     {text(long), text(strings.Repeat("1", 65)), text("1.31\n"), text("1.31 x"), text("é")},
		"INTERCEPTION_MODE": {text(long), text("other")},
		"CLUSTER_ID":        {text(long), text("a\x1b")},
		"WORKLOAD_ENTRY":    {text(long), text("a b"), text("a\n")},

		"AUTO_REGISTER_GROUP":    {text(long), text("a/b"), text("A"), text("a\n")},
		"NETWORK":                {text(long), text("a\"")},
		"REQUESTED_NETWORK_VIEW": {text(strings.Repeat("a,", 5000)), text("a,b\n")},
		"INSTANCE_IPS":           {text(strings.Repeat("10.0.0.1,", 65)), text("fe80::1%" + long)},
		"LABELS":                 {manyLabels(257), label(long, "x"), label("x", long), label("x", "a\x1b"), label("a b", "x")},
	} {
		for i, v := range values {
			nodes[fmt.Sprintf("%s %d", field, i)] = nodeWith(field, v)
		}
	}
	for name, n := range nodes {
		_, err := ParseNode(n)
		switch {
		case err == nil:
			t.Errorf("%s: is taken", name)
		case len(err.Error()) > 3<<10:
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		case strings.ContainsAny(err.Error(), "\x1b\a\r\n"):
			t.Errorf("%s: the error has control characters: %q", name, err)
		}
	}
}

func TestNodesThatAgentsSendAreTaken(t *testing.T) {
	text := structpb.NewStringValue
	for field, values := range map[string][]*structpb.Value{
		"NAMESPACE":              {text("istio-system")},
		"SERVICE_ACCOUNT":        {text("bookinfo.reviews-v1")},
		"ISTIO_VERSION":          {text(strings.Repeat("1", 64)), text("1.31-alpha.0e1f-dirty+b1"), text("")},
		"INTERCEPTION_MODE":      {text("NONE"), text("TPROXY"), text("")},
		"CLUSTER_ID":             {text("Kubernetes"), text("cn-1_x/y")},
		"NETWORK":                {text("vpc-1.eu:2")},
		"REQUESTED_NETWORK_VIEW": {text("vpc-1.eu:2"), text("n1, n2,,"), text("")},
		"INSTANCE_IPS":           {text("10.1.1.1,fd00::1,fe80::1%eth0")},
		"LABELS":                 {manyLabels(256), label("topology.istio.io/network", ""), label("app.kubernetes.io/name", "A_b.c")},
		"OTHER":                  {text(strings.Repeat("x", 9000))},
	} {
		for _, v := range values {
			n, err := ParseNode(nodeWith(field, v))
			if err != nil {
				t.Errorf("%s %v: %v", field, v, err)
				continue
			}
			for _, ip := range n.IPs {
				if strings.Contains(ip, "%") {
					t.Errorf("address %s keeps its zone", ip)
				}
			}
		}
	}
}

func TestTheNetworksThatAProxyAsksFor(t *testing.T) {
	for said, want := range map[string][]string{"": nil, "n2": {"n2"}, "n2, n1,,": {"n2", "n1"}} {
		n, err := ParseNode(nodeWith("REQUESTED_NETWORK_VIEW", structpb.NewStringValue(said)))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(n.NetworkView, want) {
			t.Errorf("%q asks for %q, want %q", said, n.NetworkView, want)
		}
	}
}

// Whatever a caller without proof sends as its node, there is an error or a node that can be printed.
func FuzzNode(f *testing.F) {
	for _, n := range []*corev3.Node{nodeWith("LABELS", label("app", "x")), nodeWith("INSTANCE_IPS", structpb.NewStringValue("10.1.1.1,fe80::1%eth0"))} {
		b, err := proto.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		said := &corev3.Node{}
		if proto.Unmarshal(b, said) != nil {
			return
		}
		n, err := ParseNode(said)
		if err != nil {
			return
		}
		text := fmt.Sprint(n.ID, n.Name, n.Namespace, n.DNSDomain, n.IPs, n.Labels, n.ServiceAccount, n.ClusterID, n.Network, n.Group,
			n.IstioVersion, n.Interception, n.Locality, n.EnvoyVersion)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			t.Errorf("%q", text)
		}
	})
}

func TestTheEntryThatAMachineIsIsReadOfAnyMetadata(t *testing.T) {
	name := strings.Repeat("vm-", 60) + "1"
	n := nodeWith("WORKLOAD_ENTRY", structpb.NewStringValue(name))
	for i := range 2 * maxMetadataTexts {
		n.Metadata.Fields[fmt.Sprintf("A%d", i)] = structpb.NewStringValue("x")
	}
	if got, err := ParseNode(n); err != nil || got.WorkloadEntry != name {
		t.Errorf("%+v, %v", got, err)
	}
}
