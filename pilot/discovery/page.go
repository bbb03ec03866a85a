package discovery

import (
	"net/netip"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/page"
	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
)

// newPage gives the page for people.
func (p *plane) newPage() *page.Page {
	return page.New(page.Options{
		Connections: p.xds.Connections, Problems: p.located.Problems,
		Object: p.object,
		Service: func(client, host string) *model.Service {
			if s := p.store.Snapshot(); s != nil {
				return s.Reader(nil).Service(client, host)
			}
			return nil
		},
		Traffic: traffic.New(traffic.Options{Proxies: p.measured, Logger: p.cfg.Logger}),
		Name:    p.cfg.Name, Version: p.cfg.Version, Logger: p.cfg.Logger,
	})
}

// object gives an object of the configuration that is served, nil where there is none.
func (p *plane) object(k model.Key) *model.Object {
	if s := p.store.Snapshot(); s != nil {
		return s.Reader(nil).Object(k)
	}
	return nil
}

// measured gives the proxies whose metrics may be read: those that have proven who they are, at the address
// that their stream comes from. So a caller cannot make the control plane ask anybody but itself.
func (p *plane) measured() []traffic.Proxy {
	var out []traffic.Proxy
	for _, c := range p.xds.Connections() {
		namespace, _, proven := strings.Cut(c.Identity, "/")
		addr, err := netip.ParseAddrPort(c.Peer)
		if proven && err == nil {
			out = append(out, traffic.Proxy{Name: c.Proxy(), Namespace: namespace, Address: addr.Addr().Unmap()})
		}
	}
	return out
}
