package xds

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/peer"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// TestHealthOfMachinesIsHandedOn has an agent with proof and one without, by both protocols.
func TestHealthOfMachinesIsHandedOn(t *testing.T) {
	for _, sotw := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			m := newMesh(t, listener("l", "a"))
			var told []string
			m.server.opts.Health = func(h Health) {
				text := h.Node.Identity + " well"
				if !h.Healthy {
					text = h.Node.Identity + " " + h.Message
				}
				told = append(told, text)
			}
			m.server.opts.Ended = func(string) { told = append(told, "ended") }
			connect := func(prove Authenticate) *client {
				ctx, cancel := context.WithCancel(m.t.Context())
				c := &client{t: t, in: make(chan []byte, 16), out: make(chan *response, 8), ctx: ctx, close: cancel, ended: make(chan error, 1), sotw: sotw}
				go func() {
					c.ended <- m.server.serve(ctx, c, prove)
					cancel()
				}()
				return c
			}
			proven := connect(func(context.Context) (Identity, error) { return Identity{Namespace: "ns", ServiceAccount: "db"}, nil })
			unproven := connect(nil)
			for _, c := range []*client{proven, unproven} {
				c.askURL(HealthType, query{refused: true, detail: "down\n" + strings.Repeat("x", 10*maxDetail)})
				c.ask(resource.Listeners, query{})
				c.askURL(HealthType, query{})
			}
			synctest.Wait()
			if len(proven.out) != 1 {
				t.Errorf("%d answers, want the one to listeners", len(proven.out))
			}
			m.stop(proven, unproven)
			if len(told) != 3 || !strings.HasPrefix(told[0], "ns/db down") || len(told[0]) > 2*maxDetail || !slices.Equal(told[1:], []string{"ns/db well", "ended"}) {
				t.Errorf("sotw %v: told %.300q", sotw, told)
			}
		})
	}
}

// TestMachinesThatNameAGroupAreToldOf has one with proof and one without, and one that names no group.
func TestMachinesThatNameAGroupAreToldOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "a"))
		var told []string
		m.server.opts.Join = func(j Join) { told = append(told, j.Node.Identity+" "+j.Node.Group+" "+j.Connection) }
		m.server.opts.Ended = func(string) { told = append(told, "ended") }
		var clients []*client
		for _, c := range []struct {
			group string
			prove Authenticate
		}{
			{"db", func(context.Context) (Identity, error) { return Identity{Namespace: "ns", ServiceAccount: "db"}, nil }},
			{"", func(context.Context) (Identity, error) { return Identity{Namespace: "ns", ServiceAccount: "db"}, nil }},
			{"db", nil},
		} {
			ctx, cancel := context.WithCancel(peer.NewContext(m.t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 7}}))
			one := &client{t: t, in: make(chan []byte, 16), out: make(chan *response, 8), ctx: ctx, close: cancel, ended: make(chan error, 1)}
			go func() {
				one.ended <- m.server.serve(ctx, one, c.prove)
				cancel()
			}()
			one.ask(resource.Listeners, query{group: c.group})
			one.ask(resource.Clusters, query{})
			clients = append(clients, one)
		}
		synctest.Wait()
		m.stop(clients...)
		if !slices.Equal(told, []string{"ns/db db 10.0.0.9:7", "ended"}) {
			t.Errorf("told %q", told)
		}
	})
}
