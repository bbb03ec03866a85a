package analyze

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// entriesWithoutWorkload finds ServiceEntries that select neither a pod nor a WorkloadEntry, and so have no
// endpoint.
func entriesWithoutWorkload(m *mesh) {
	entries := newLabelled[*model.Object]()
	for _, we := range of[*networking.WorkloadEntry](m, model.KindWorkloadEntry) {
		entries.add(we.Object, we.Namespace, we.entryLabels())
	}
	for _, se := range of[*networking.ServiceEntry](m, model.KindServiceEntry) {
		labels := se.spec.GetWorkloadSelector().GetLabels()
		if len(labels) == 0 || len(m.selected(se.Namespace, labels)) > 0 || len(entries.selected(se.Namespace, labels)) > 0 {
			continue
		}
		m.report(se.Object, "spec.workloadSelector.labels", noWorkloads, Warning,
			"no pod and no WorkloadEntry of namespace %s has the labels %s, so its hosts have no endpoints; correct them, or add such workloads", se.Namespace, model.LabelSet(labels))
	}
}

// entryLabels are those of a WorkloadEntry: of its spec, over those of its metadata.
func (o object[T]) entryLabels() map[string]string {
	out := map[string]string{}
	for k, v := range o.Labels {
		out[k] = v
	}
	if we, ok := any(o.spec).(*networking.WorkloadEntry); ok {
		for k, v := range we.GetLabels() {
			out[k] = v
		}
	}
	return out
}

// entriesWithoutAddress finds ports of ServiceEntries that proxies cannot tell from other traffic to the
// same port, since neither a protocol nor an address says whose it is. Where the mesh's agents answer DNS,
// they give addresses to hosts that have none.
func entriesWithoutAddress(m *mesh) {
	if strings.EqualFold(m.config.GetDefaultConfig().GetProxyMetadata()["ISTIO_META_DNS_CAPTURE"], "true") {
		return
	}
	for _, se := range of[*networking.ServiceEntry](m, model.KindServiceEntry) {
		if len(se.spec.GetAddresses()) > 0 {
			continue
		}
		for i, port := range se.spec.GetPorts() {
			if p := strings.ToUpper(port.GetProtocol()); p == "" || p == "TCP" {
				m.report(se.Object, fmt.Sprintf("spec.ports[%d].protocol", i), addressesRequired, Warning,
					"all TCP connections to port %d go to this host, wherever they were for; give the object addresses, the port a protocol (HTTP, TLS), or proxies DNS (ISTIO_META_DNS_CAPTURE)", port.GetNumber())
			}
		}
	}
}
