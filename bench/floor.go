package bench

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/process"
)

// yardstick is the running floor.
type yardstick struct {
	*process.Process
	clients, commands string
}

// ServeFloor is the floor's process.
func ServeFloor(ctx context.Context, clients, commands string) error {
	c, err := net.Listen("tcp", clients)
	if err != nil {
		return err
	}
	h, err := net.Listen("tcp", commands)
	if err != nil {
		return joinClose(err, c)
	}
	return floor.New().Serve(ctx, c, h)
}

// measureFloor lets the floor send what the server sent and notes the CPU time with the results.
func (r *runner) measureFloor(ctx context.Context) error {
	if len(r.Floor) == 0 || len(r.replies.Cold) == 0 {
		return nil
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	args := append(append([]string{}, r.Floor[1:]...), ports...)
	p, err := process.Start(ctx, filepath.Join(r.Dir, "floor.log"), r.Floor[0], args...)
	if err != nil {
		return err
	}
	defer p.Stop(false)
	y := &yardstick{Process: p, clients: ports[0], commands: ports[1]}
	if err := y.tell(ctx, "/replies", r.replies); err != nil {
		return err
	}
	if err := r.floorCold(ctx, y); err != nil {
		return err
	}
	if len(r.plays) == 0 && len(r.warm) == 0 {
		return nil
	}
	fleet := ads.New(ads.Options{Nodes: nodes(r.mesh, r.Clients), Logger: r.Log})
	defer fleet.Disconnect()
	fleet.Connect(ctx, y.clients)
	if err := r.synced(ctx, fleet); err != nil {
		return err
	}
	for _, p := range r.plays {
		if err := r.floorPlay(ctx, y, fleet, p); err != nil {
			return fmt.Errorf("%s: %w", p.result.Name, err)
		}
	}
	return r.floorWarm(ctx, y, fleet)
}

// using gives the CPU time that the floor needs while f runs and until the clients are at rest.
func (r *runner) using(ctx context.Context, y *yardstick, fleet *ads.Fleet, f func() error) (float64, error) {
	before, err := y.CPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	if err := r.quiet(ctx, fleet, 200*time.Millisecond); err != nil {
		return 0, err
	}
	after, err := y.CPU()
	return (after - before).Seconds(), err
}

func (r *runner) floorCold(ctx context.Context, y *yardstick) error {
	fleet := ads.New(ads.Options{Nodes: nodes(r.mesh, r.ColdClients), Logger: r.Log})
	defer fleet.Disconnect()
	cpu, err := r.using(ctx, y, fleet, func() error {
		fleet.Connect(ctx, y.clients)
		return r.synced(ctx, fleet)
	})
	if result := r.result(scenarioCold); result != nil {
		result.FloorCPU = cpu
	}
	return err
}

func (r *runner) floorPlay(ctx context.Context, y *yardstick, fleet *ads.Fleet, p play) error {
	before := fleet.Stats().Messages
	cpu, err := r.using(ctx, y, fleet, func() error {
		if err := y.tell(ctx, "/play", p.Play); err != nil {
			return err
		}
		want := p.clients * len(p.Frames)
		return wait(ctx, "messages of the floor", want, func() int { return int(fleet.Stats().Messages - before) })
	})
	p.result.FloorCPU = cpu
	return err
}

func (r *runner) floorWarm(ctx context.Context, y *yardstick, fleet *ads.Fleet) error {
	if len(r.warm) == 0 {
		return nil
	}
	fleet.Disconnect()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	cpu, err := r.using(ctx, y, fleet, func() error {
		fleet.Connect(ctx, y.clients)
		return wait(ctx, "clients of the floor", fleet.Len(), fleet.Connected)
	})
	for _, result := range r.warm {
		result.FloorCPU = cpu
	}
	return err
}

func (r *runner) result(name string) *Result {
	for _, result := range r.results {
		if result.Name == name {
			return result
		}
	}
	return nil
}

// tell sends a command, and again until the floor listens.
func (y *yardstick) tell(ctx context.Context, path string, v any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	for start := time.Now(); ; {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+y.commands+path, bytes.NewReader(b.Bytes()))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			text, err := io.ReadAll(resp.Body)
			if err = joinClose(err, resp.Body); err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("the floor answers %s: %s", resp.Status, text)
			}
			return nil
		}
		if time.Since(start) > 5*time.Second {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
