package analyze

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
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
	// UDPPorts are those that clients reach by UDP.
	UDPPorts map[uint16]uint16
	of       *model.Proxy
}

// Translation is what files come to.
type Translation struct {
	Proxies  []Proxy
	mesh     *mesh
	settings resolve.Settings
	patched  *build.Builder             // that made it; nil where there is no EnvoyFilter, since nobody asks it then
	bare     func() map[netip.Addr]bool // of the addresses of pods that are servers, see BareServer
}

// Translate makes what each proxy would run that the workloads of files could have. Workloads without an address
// get one of 10.255.0.0/16, Services one of 10.254.0.0/16. Settings are those of the control plane. The error is ctx's.
func Translate(ctx context.Context, files []File, settings resolve.Settings) (*Translation, error) {
	return translate(ctx, files, settings, newDecoder())
}

// Compare makes what each proxy would run by either of two sets of files. What both come to alike is one message.
func Compare(ctx context.Context, former, files []File) (before, after *Translation, err error) {
	d := newDecoder()
	if before, err = translate(ctx, former, resolve.Settings{}, d); err != nil {
		return nil, nil, err
	}
	after, err = translate(ctx, files, resolve.Settings{}, d)
	return before, after, err
}

func translate(ctx context.Context, files []File, settings resolve.Settings, d *decoder) (*Translation, error) {
	m := load(files)
	return m.translated(ctx, m.proxies(nil), settings, d)
}

// translated makes what proxies would run.
func (m *mesh) translated(ctx context.Context, proxies []*model.Proxy, settings resolve.Settings, d *decoder) (*Translation, error) {
	b := build.New(build.Options{Settings: settings})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return nil, err
	}
	out := &Translation{mesh: m, settings: settings, bare: sync.OnceValue(m.bareServers)}
	if len(m.ofKind(model.KindEnvoyFilter)) > 0 {
		out.patched = b
	}
	made, problems, ports := map[string][]proto.Message{}, map[string][]model.Problem{}, m.portLookup()
	for _, p := range proxies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		seat := b.Seat(p)
		class := seat.Class.Key
		if made[class] == nil {
			result := b.Result(&seat.Class)
			var err error
			if made[class], err = d.resources(result); err != nil {
				return nil, err
			}
			problems[class] = slices.Concat(result.Shared, result.Own)
		}
		b.Leave(seat)
		tcp, udp := ports.of(p)
		out.Proxies = append(out.Proxies, Proxy{
			Kind: p.Type, Name: p.Name[strings.IndexByte(p.Name, '.')+1:], Namespace: p.Namespace,
			Class: class, Resources: made[class], Problems: problems[class], Ports: tcp, UDPPorts: udp, of: p,
		})
	}
	return out, nil
}
