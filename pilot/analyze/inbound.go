package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Receiver is what a workload of files receives.
type Receiver struct {
	Listener *ir.Listener
	reader   resolve.Reader
	class    resolve.Class
}

// MutualTLS tells how a port takes mutual TLS, and which PeerAuthentication says so, nil for none.
func (r *Receiver) MutualTLS(port uint32) (ir.MTLSMode, *model.Object) {
	m := resolve.InboundMTLS(r.reader, &r.class, port)
	return m.Mode, m.Object
}

// Inbound gives what a workload of the files receives. The workload is a pod or what
// makes pods, by its name; it has to have a sidecar.
func Inbound(files []File, namespace, name string) (*Receiver, error) {
	m := load(files)
	var names []string
	for i, w := range m.workloads {
		if w.proxy != model.SidecarProxy {
			continue
		}
		names = append(names, w.object.Namespace+"/"+w.object.Name)
		if w.object.Namespace != namespace || w.object.Name != name {
			continue
		}
		pod := w.pod(i)
		class := resolve.Classify(m.reader, m.proxy(model.SidecarProxy, namespace, pod.Name, "10.255.0.1", pod.Labels))
		all, _ := resolve.Inbound(m.reader, &class) // the first is that of all that is redirected
		return &Receiver{Listener: all[0], reader: m.reader, class: class}, nil
	}
	slices.Sort(names)
	return nil, fmt.Errorf("there is no workload %s/%s with a sidecar; there are %s", namespace, name, strings.Join(slices.Compact(names), ", "))
}
