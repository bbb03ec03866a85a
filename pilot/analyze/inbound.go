package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Inbound gives the listener of all that a workload of the files receives. The workload is a pod or what
// makes pods, by its name; it has to have a sidecar.
func Inbound(files []File, namespace, name string) (*ir.Listener, error) {
	m := load(files)
	var names []string
	for i, w := range m.workloads {
		if w.proxy() != model.SidecarProxy {
			continue
		}
		names = append(names, w.object.Namespace+"/"+w.object.Name)
		if w.object.Namespace != namespace || w.object.Name != name {
			continue
		}
		pod := w.pod(i)
		class := resolve.Classify(m.reader, m.proxy(model.SidecarProxy, namespace, pod.Name, "10.255.0.1", pod.Labels))
		all, _ := resolve.Inbound(m.reader, &class) // the first is that of all that is redirected
		return all[0], nil
	}
	slices.Sort(names)
	return nil, fmt.Errorf("there is no workload %s/%s with a sidecar; there are %s", namespace, name, strings.Join(slices.Compact(names), ", "))
}
