package analyze

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Proxy is one proxy that the workloads of files could have, and what it would run.
type Proxy struct {
	Kind      model.ProxyType
	Name      string // of the workload's object, e.g. "reviews-v1" of a Deployment
	Namespace string
	Resources []proto.Message
}

// Translation is what files come to.
type Translation struct {
	Proxies []Proxy
	mesh    *mesh
}

// Translate makes what each proxy would run that the workloads of files could have. Workloads without an address
// get one of 10.255.0.0/16, Services one of 10.254.0.0/16. The error is ctx's.
func Translate(ctx context.Context, files []File) (*Translation, error) {
	m := load(files)
	b := build.New(build.Options{})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return nil, err
	}
	out := &Translation{mesh: m}
	for _, p := range m.proxies() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		seat := b.Seat(p)
		made := b.Result(&seat.Class)
		name := p.Name[strings.IndexByte(p.Name, '.')+1:]
		proxy := Proxy{Kind: p.Type, Name: name, Namespace: p.Namespace}
		for t := range resource.NumTypes {
			for r := range made.Sets[t].All() {
				message, err := r.Message()
				if err != nil {
					return nil, fmt.Errorf("resource %s: %w", r.Name, err)
				}
				proxy.Resources = append(proxy.Resources, message)
			}
		}
		b.Leave(seat)
		out.Proxies = append(out.Proxies, proxy)
	}
	return out, nil
}

// Lookup finds where an object stands that a resource names as its origin:
// /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME.
func (t *Translation) Lookup(path string) (file string, line int) {
	key, ok := resource.SourceKey(path)
	for _, o := range t.mesh.objects {
		if ok && o.Key == key {
			return o.Origin.File, o.Origin.Line
		}
	}
	return "", 0
}
