package machine

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// FuzzEntry has a stranger write any node: there is a reason, or an entry that an API server takes, in the group's
// namespace and of its service account, with nothing of the group's that is not the machine's to say changed.
func FuzzEntry(f *testing.F) {
	seed := func(fields map[string]any) {
		s, err := structpb.NewStruct(fields)
		if err != nil {
			f.Fatal(err)
		}
		b, err := proto.Marshal(&corev3.Node{Id: "sidecar~10.0.0.1~vm.vms~vms.svc.cluster.local", Metadata: s, Locality: &corev3.Locality{Region: "r", SubZone: "s"}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(map[string]any{"AUTO_REGISTER_GROUP": "db", "LABELS": map[string]any{"app": "x"}, "NETWORK": "n"})
	seed(map[string]any{"AUTO_REGISTER_GROUP": "db", "INSTANCE_IPS": "fe80::,fd00::1", "NETWORK": "N/:@ "})
	seed(map[string]any{"AUTO_REGISTER_GROUP": "db", "INSTANCE_IPS": "::ffff:10.0.0.1", "PROXY_CONFIG": map[string]any{"readinessProbe": map[string]any{}}})
	group := dbGroup(nil)
	template := group.Spec.(*networking.WorkloadGroup).Template
	f.Fuzz(func(t *testing.T, b []byte) {
		said := &corev3.Node{}
		if proto.Unmarshal(b, said) != nil {
			return
		}
		n, err := push.ParseNode(said)
		if err != nil {
			return
		}
		n.Identity = "vms/db"
		o, err := Entry(group, n)
		if err != nil {
			if len(err.Error()) > 4<<10 {
				t.Errorf("the reason has %d bytes", len(err.Error()))
			}
			return
		}
		we := o.Spec.(*networking.WorkloadEntry)
		if o.Namespace != "vms" || we.ServiceAccount != "db" || we.Weight != template.Weight || len(we.Ports) != len(template.Ports) {
			t.Errorf("%+v", o)
		}
		if len(validation.IsDNS1123Subdomain(o.Name)) > 0 || len(o.Labels) > maxMachineLabels+4 || model.KindOfAddress(we.Address) != model.AddressIP {
			t.Errorf("%+v", o)
		}
		for _, p := range validate.Object(o) {
			if p.Severity == model.SeverityError {
				t.Error(p)
			}
		}
		if !sameMember(heard(o, "one", time.Unix(1, 0)), o) {
			t.Errorf("it is not known again: %+v", o)
		}
	})
}
