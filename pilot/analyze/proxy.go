package analyze

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Proxy is one proxy that the workloads of files could have, and what it would run.
type Proxy struct {
	Kind      model.ProxyType
	Name      string // of the workload's object, e.g. "reviews-v1" of a Deployment
	Namespace string
	// Pod is that of a proxy that runs; "" of one that only could.
	Pod string
	// Class is the same for proxies of a translation that run the same.
	Class     string
	Resources []proto.Message
	// Problems are those that came up on the way, of what the class shares with others as well.
	Problems []model.Problem
	// Ports are where what is sent to a port of a Service of the proxy's pod arrives.
	Ports map[uint16]uint16
	of    *model.Proxy
}

// Translation is what files come to.
type Translation struct {
	Proxies  []Proxy
	mesh     *mesh
	settings resolve.Settings
}

// Translate makes what each proxy would run that the workloads of files could have. Workloads without an address
// get one of 10.255.0.0/16, Services one of 10.254.0.0/16. The error is ctx's.
func Translate(ctx context.Context, files []File) (*Translation, error) {
	m := load(files)
	return m.translated(ctx, m.proxies(), resolve.Settings{})
}

// translated makes what proxies would run.
func (m *mesh) translated(ctx context.Context, proxies []*model.Proxy, settings resolve.Settings) (*Translation, error) {
	b := build.New(build.Options{Settings: settings})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return nil, err
	}
	out := &Translation{mesh: m, settings: settings}
	made, problems := map[string][]proto.Message{}, map[string][]model.Problem{}
	for _, p := range proxies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		seat := b.Seat(p)
		class := seat.Class.Key
		if made[class] == nil {
			result := b.Result(&seat.Class)
			var err error
			if made[class], err = resourcesOf(result); err != nil {
				return nil, err
			}
			problems[class] = slices.Concat(result.Shared, result.Own)
		}
		b.Leave(seat)
		out.Proxies = append(out.Proxies, Proxy{
			Kind: p.Type, Name: p.Name[strings.IndexByte(p.Name, '.')+1:], Namespace: p.Namespace,
			Class: class, Resources: made[class], Problems: problems[class], Ports: m.servicePorts(p), of: p,
		})
	}
	return out, nil
}

// resourcesOf gives all resources of a result.
func resourcesOf(made build.Result) ([]proto.Message, error) {
	out := []proto.Message{}
	for t := range resource.NumTypes {
		for r := range made.Sets[t].All() {
			message, err := r.Message()
			if err != nil {
				return nil, fmt.Errorf("resource %s: %w", r.Name, err)
			}
			out = append(out, message)
		}
	}
	return out, nil
}

// servicePorts gives where the ports of the Services lead that select a proxy's pod.
func (m *mesh) servicePorts(p *model.Proxy) map[uint16]uint16 {
	labels, target := p.Labels, func(port corev1.ServicePort) uint32 { return m.runningPort(p, port) }
	for i, w := range m.workloads {
		if w.object.Namespace == p.Namespace && w.pod(i).Name == p.Name {
			labels, target = w.meta.Labels, func(port corev1.ServicePort) uint32 { return targetPort(port, w) }
		}
	}
	out := map[uint16]uint16{}
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		if svc.Namespace != p.Namespace || !model.Selects(svc.spec.Spec.Selector, labels) {
			continue
		}
		for _, port := range svc.spec.Spec.Ports {
			if number := target(port); number != 0 {
				out[uint16(port.Port)] = uint16(number)
			}
		}
	}
	return out
}

// runningPort gives where a port of a Service arrives at the pod of a connected proxy; 0 where the port has a name and
// the pod is not known.
func (m *mesh) runningPort(p *model.Proxy, port corev1.ServicePort) uint32 {
	if port.TargetPort.StrVal == "" {
		return targetPort(port, nil)
	}
	if o := m.reader.Pod("", p.Namespace, p.Name); o != nil {
		return o.Spec.(*model.Pod).PortNamed(port.TargetPort.StrVal, port.Protocol == corev1.ProtocolUDP)
	}
	return 0
}
