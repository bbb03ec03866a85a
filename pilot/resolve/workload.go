package resolve

import (
	"fmt"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Workload is what a proxy stands beside.
type Workload struct {
	// Pod is its Pod object; nil for a machine, and while the Pod is not known yet.
	Pod     *model.Object
	cluster string // of the Pod, "" for the control plane's own
	// Labels are those of the Pod, or what a machine says of itself, or a proxy whose Pod is not known yet. Whoever
	// names another's Pod has none: such a proxy gets what its namespace gives to all.
	Labels map[string]string
	// Doubt says why the Pod that the proxy names is not its own; "" where it is, or is not known.
	Doubt string
}

// WorkloadOf finds the Pod of a proxy, and is the only place where that is decided: nobody gets what another
// pod should get by naming it. A proof that is bound to a Pod decides. Else the address that the proxy connects
// from does, where a Pod of the proven service account has it; whoever comes through a gateway or NAT, or from the
// node's network, has one that says nothing. Else it is the Pod that the proxy names, if that has the proven service
// account. What is not delivered yet is looked for again when it comes, since all of this is read.
func WorkloadOf(r Reader, p *model.Proxy) Workload {
	clusters := clustersOf(p)
	if p.Proof == nil {
		return podNamed(r, p, clusters, p.Name)
	}
	if p.Proof.Pod != "" {
		w := podNamed(r, p, clusters, p.Proof.Pod)
		if w.Pod == nil { // the Pod is there, since it was proven; one of this name that it follows may still be known
			w.Labels = p.Labels
		}
		return w
	}
	for _, c := range clusters {
		if pods := podsThere(r, p, c); len(pods) > 0 {
			return podOf(p, c, pods)
		}
	}
	return podNamed(r, p, clusters, p.Name)
}

// clustersOf gives the clusters in which the Pod of a proxy is looked for, of which those that are remote have names:
// clusters have Pods of the same names and addresses. Who has proved to be of the control plane's own cluster is of no
// other, and who has proved to be of another is not of this one: it is of the one that it names.
func clustersOf(p *model.Proxy) (clusters []string) {
	if p.ClusterID != "" && (p.Proof == nil || p.Proof.Foreign) {
		clusters = append(clusters, p.ClusterID)
	}
	if p.Proof == nil || !p.Proof.Foreign {
		clusters = append(clusters, "")
	}
	return clusters
}

// podNamed finds a Pod by its name.
func podNamed(r Reader, p *model.Proxy, clusters []string, name string) Workload {
	out := Workload{Labels: p.Labels}
	for _, c := range clusters {
		pod := r.Pod(c, p.Namespace, name)
		switch {
		case pod == nil:
		case ofAccount(pod, p):
			return Workload{Pod: pod, cluster: c, Labels: pod.Labels}
		default:
			out.Labels, out.Doubt = nil, fmt.Sprintf("the Pod %s/%s has the service account %q", p.Namespace, name, pod.Spec.(*model.Pod).ServiceAccount)
		}
	}
	return out
}

// podsThere gives the Pods of the proven service account that have the address that the proxy connects from, but for
// those that have it from their node.
func podsThere(r Reader, p *model.Proxy, cluster string) []*model.Object {
	if p.Peer == "" {
		return nil
	}
	return slices.DeleteFunc(r.PodsAt(cluster, p.Peer), func(o *model.Object) bool {
		return o.Namespace != p.Namespace || !ofAccount(o, p) || o.Spec.(*model.Pod).HostNetwork
	})
}

// podOf takes of the Pods with an address the one that the proxy names. Several have it while one that has ended is
// not deleted yet.
func podOf(p *model.Proxy, cluster string, pods []*model.Object) Workload {
	for _, o := range pods {
		if o.Name == p.Name {
			return Workload{Pod: o, cluster: cluster, Labels: o.Labels}
		}
	}
	return Workload{
		Pod: pods[0], cluster: cluster, Labels: pods[0].Labels,
		Doubt: fmt.Sprintf("it connects from %s, the address of the Pod %s/%s", p.Peer, pods[0].Namespace, pods[0].Name),
	}
}

// ofAccount tells whether a Pod has the service account that the proxy proved, if it proved one.
func ofAccount(pod *model.Object, p *model.Proxy) bool {
	return p.Proof == nil || pod.Spec.(*model.Pod).ServiceAccount == p.Proof.ServiceAccount
}
