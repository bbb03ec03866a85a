package analyze

import (
	"cmp"
	"fmt"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// TLSChecks compares, by files alone, what the services that a workload sees ask of their clients with what its
// proxy would do; host "" is all of them.
func TLSChecks(files []File, namespace, name, host string) ([]resolve.TLSCheck, error) {
	m := load(files)
	for i, w := range m.workloads {
		if w.object.Namespace != namespace || w.object.Name != name {
			continue
		}
		pod := w.pod(i)
		class := resolve.Classify(m.reader, m.proxy(cmp.Or(w.proxy, model.SidecarProxy), namespace, pod.Name, "10.255.0.1", pod.Labels))
		return resolve.TLSChecks(m.reader, &class, m.services, host, w.proxy == ""), nil
	}
	return nil, fmt.Errorf("there is no workload %s/%s in the files", namespace, name)
}
