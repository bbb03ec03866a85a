package machine

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"istio.io/api/annotation"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

const (
	// maxName is how long the name of an entry may be, in bytes; Istio cuts longer ones at their beginning.
	maxName = 253
	// maxMachineLabels is how many labels a machine may have of its own.
	maxMachineLabels = 64
)

// Entry gives the WorkloadEntry that a machine is by a WorkloadGroup of its namespace, as Istio does: the template,
// with the machine's address, network and locality. Of labels those of the machine win over those of the group's
// metadata, and these over the template's. The error says why the machine is not registered. What a machine says of
// itself is not proven, but for its identity, which has to be that of the group's machines.
func Entry(group *model.Object, n *push.Node) (*model.Object, error) {
	spec := group.Spec.(*networking.WorkloadGroup)
	account := cmp.Or(spec.GetTemplate().GetServiceAccount(), model.DefaultServiceAccount)
	if want := group.Namespace + "/" + account; n.Identity != want {
		return nil, fmt.Errorf("the machines of this group are %s, and it proved to be %s", want, n.Identity)
	}
	address, err := reachable(n.IPs)
	if err != nil {
		return nil, err
	}
	name, err := entryName(group.Name, address, n.Network)
	if err != nil {
		return nil, err
	}
	if len(n.Labels) > maxMachineLabels {
		return nil, fmt.Errorf("it says %d labels, at most %d are taken", len(n.Labels), maxMachineLabels)
	}
	entry := &networking.WorkloadEntry{}
	if t := spec.GetTemplate(); t != nil {
		entry = proto.Clone(t).(*networking.WorkloadEntry)
	}
	entry.Address, entry.ServiceAccount = address, account
	entry.Network = cmp.Or(n.Network, entry.GetNetwork())
	entry.Locality = cmp.Or(locality(n.Locality), entry.GetLocality())
	entry.Labels = merged(entry.GetLabels(), spec.GetMetadata().GetLabels(), n.Labels)
	o := &model.Object{
		Key:    model.Key{Kind: model.KindWorkloadEntry, Namespace: group.Namespace, Name: name},
		Labels: entry.Labels, Annotations: merged(spec.GetMetadata().GetAnnotations()), Spec: entry, Origin: group.Origin,
	}
	o.Annotations[annotation.IoIstioAutoRegistrationGroup.Name] = group.Name
	if !n.LongPeer {
		o.Annotations[model.AnnotationPeers] = model.PeersShort
	}
	if n.Probed {
		o.Annotations[model.AnnotationHealthChecks] = "true"
	}
	for _, p := range validate.Object(o) {
		if p.Severity == model.SeverityError {
			return nil, fmt.Errorf("its WorkloadEntry would not be taken: %s: %s", p.Field, p.Message)
		}
	}
	return o, nil
}

// reachable gives the first address of a machine, as Istio does, if others can reach it. Traffic of the mesh is led
// there: so it is none that each client has itself, or that a cloud answers at.
func reachable(all []string) (string, error) {
	if len(all) == 0 {
		return "", fmt.Errorf("it says no address")
	}
	ip, err := netip.ParseAddr(all[0])
	switch {
	case err != nil:
		return "", fmt.Errorf("its address is none: %w", err)
	case model.LocalAddress(ip) != "":
		return "", fmt.Errorf("nobody else reaches it at its address %s; set INSTANCE_IP of its agent", ip)
	}
	return ip.Unmap().String(), nil
}

// entryName gives GROUP-ADDRESS[-NETWORK], as Istio does.
func entryName(group, address, network string) (string, error) {
	name := group + "-" + strings.ReplaceAll(address, ":", "-")
	if network == "" {
		name = strings.TrimRight(name, "-") // an address may end with colons
	} else {
		name += "-" + network
	}
	if over := len(name) - maxName; over > 0 {
		name = strings.TrimLeft(name[over:], "-.")
	}
	if network != "" && len(validation.IsDNS1123Subdomain(network)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "", fmt.Errorf("the name of its entry has its network in it, and %q is of no form for a name: use a-z, 0-9, '-' and '.'", network)
	}
	return name, nil
}

// locality gives REGION[/ZONE[/SUBZONE]], "" for none.
func locality(l model.Locality) string {
	switch {
	case l.SubZone != "":
		return l.Region + "/" + l.Zone + "/" + l.SubZone
	case l.Zone != "":
		return l.Region + "/" + l.Zone
	}
	return l.Region
}

// merged gives the entries of all, of one key the last.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// presence is what the annotations of an entry say of who hears its machine, and since when.
type presence struct {
	group, controller       string
	answers                 bool // the controller does, when it is asked
	connected, disconnected time.Time
}

// presenceOf reads an entry; ok is false where the entry was made by no registration. So is one whose controller
// nobody wrote: a user may name a group.
func presenceOf(o *model.Object) (p presence, ok bool) {
	if o == nil {
		return p, false
	}
	p.group, p.controller = o.Annotations[annotation.IoIstioAutoRegistrationGroup.Name], o.Annotations[annotation.IoIstioWorkloadController.Name]
	if p.group == "" || p.controller == "" {
		return presence{}, false
	}
	p.answers = o.Annotations[model.AnnotationAnswers] == p.controller
	p.connected, _ = time.Parse(time.RFC3339Nano, o.Annotations[annotation.IoIstioConnectedAt.Name])
	p.disconnected, _ = time.Parse(time.RFC3339Nano, o.Annotations[annotation.IoIstioDisconnectedAt.Name])
	return p, true
}

// heard gives an entry with what tells who hears its machine since when.
func heard(entry *model.Object, controller string, since time.Time) *model.Object {
	out := *entry
	out.Annotations = merged(entry.Annotations, map[string]string{
		annotation.IoIstioWorkloadController.Name: controller, model.AnnotationAnswers: controller,
		annotation.IoIstioConnectedAt.Name: since.UTC().Format(time.RFC3339Nano),
	})
	delete(out.Annotations, annotation.IoIstioDisconnectedAt.Name)
	return &out
}

// sameMember tells whether an entry that is there is that of the machine: made by registration, by the same group,
// for the same address and service account.
func sameMember(there, wanted *model.Object) bool {
	p, ok := presenceOf(there)
	a, b := there.Spec.(*networking.WorkloadEntry), wanted.Spec.(*networking.WorkloadEntry)
	return ok && p.group == wanted.Annotations[annotation.IoIstioAutoRegistrationGroup.Name] &&
		model.CanonicalIP(a.GetAddress()) == b.GetAddress() && cmp.Or(a.GetServiceAccount(), model.DefaultServiceAccount) == b.GetServiceAccount()
}
