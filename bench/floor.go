package bench

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
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
	plain, secure, commands string
	fleet                   *ads.Fleet // of Clients, connected when it is first needed
}

// ServeFloor is the floor's process: it serves on three addresses, with certificates in a directory.
func ServeFloor(ctx context.Context, plain, secure, commands, dir string) error {
	config, err := floorTLS(dir)
	if err != nil {
		return err
	}
	p := floor.Ports{TLS: config}
	for _, port := range []struct {
		address string
		to      *net.Listener
	}{{plain, &p.Plain}, {secure, &p.Secure}, {commands, &p.Commands}} {
		if *port.to, err = (&net.ListenConfig{}).Listen(ctx, "tcp", port.address); err != nil {
			return err
		}
	}
	return floor.New().Serve(ctx, p)
}

// start is a scenario in which clients connect.
type start struct {
	result *Result
	warm   map[string][]ads.Frame // what those who come back get, by class; nil for cold ones
	side   *ads.Options           // of clients of the other protocol or over TLS; nil for the usual ones
	secure bool
}

// measureFloor lets the floor send what the server sent and notes the CPU time with the results.
// What fails leaves its result without one.
func (r *runner) measureFloor(ctx context.Context) []error {
	if len(r.Floor) == 0 || r.WithoutFloor || len(r.replies.By) == 0 {
		return nil
	}
	y, err := r.startFloor(ctx)
	if err != nil {
		return []error{err}
	}
	defer y.Stop(false)
	var errs []error
	failed := func(result *Result, err error) {
		if err != nil {
			r.Log.Error("floor failed", "name", result.Name, "error", err)
			errs = append(errs, fmt.Errorf("%s: %w", result.Name, err))
			y.letGo()
		}
	}
	for _, s := range r.starts {
		if s.warm == nil {
			r.Log.Info("floor", "series", r.Name, "name", s.result.Name)
			failed(s.result, r.floorStart(ctx, y, s))
		}
	}
	for _, p := range r.plays {
		if p.messages > 0 && ctx.Err() == nil {
			r.Log.Info("floor", "series", r.Name, "name", p.result.Name)
			failed(p.result, r.floorPlay(ctx, y, p))
		}
	}
	for _, s := range r.starts {
		if s.warm != nil {
			failed(s.result, r.floorWarm(ctx, y, s))
		}
	}
	y.letGo()
	return errs
}

func (r *runner) startFloor(ctx context.Context) (*yardstick, error) {
	by, err := openAuthority(r.server.caDir)
	if err != nil {
		return nil, err
	}
	if err := by.equipFloor(r.Dir); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	args := append(append(append([]string{}, r.Floor[1:]...), ports...), r.Dir)
	p, err := process.Start(ctx, filepath.Join(r.Dir, "floor.log"), r.Floor[0], args...)
	if err != nil {
		return nil, err
	}
	y := &yardstick{Process: p, plain: ports[0], secure: ports[1], commands: ports[2]}
	if err := y.tell(ctx, "/replies", r.replies); err != nil {
		p.Stop(false)
		return nil, err
	}
	return y, nil
}

// connected gives the fleet that the plays share.
func (y *yardstick) connected(ctx context.Context, r *runner) (*ads.Fleet, error) {
	if y.fleet != nil {
		return y.fleet, nil
	}
	fleet, err := r.newFleet(r.Clients)
	if err != nil {
		return nil, err
	}
	y.fleet = fleet
	return fleet, connect(ctx, fleet, y.address(r.Secure))
}

func (y *yardstick) address(secure bool) string {
	if secure {
		return y.secure
	}
	return y.plain
}

func (y *yardstick) letGo() {
	if y.fleet != nil {
		y.fleet.Disconnect()
		y.fleet = nil
	}
}

// using notes the CPU time that the floor needs while f runs and until the clients are at rest.
func (y *yardstick) using(ctx context.Context, fleet *ads.Fleet, result *Result, f func() error) error {
	before, err := y.CPU()
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := quiet(ctx, fleet, 200*time.Millisecond); err != nil {
		return err
	}
	after, err := y.CPU()
	if err != nil {
		return err
	}
	memory, err := y.Memory()
	result.FloorCPU, result.FloorPeak = (after - before).Seconds(), float64(max(memory.PeakRSS, memory.PeakCgroup))
	return err
}

// floorStart lets cold clients connect to the floor.
func (r *runner) floorStart(ctx context.Context, y *yardstick, s start) error {
	fleet, err := r.newFleet(s.result.Clients)
	if err != nil {
		return err
	}
	if s.side != nil {
		fleet = ads.New(*s.side)
	}
	defer fleet.Disconnect()
	return y.using(ctx, fleet, s.result, func() error { return connect(ctx, fleet, y.address(s.secure || r.Secure)) })
}

func (r *runner) floorPlay(ctx context.Context, y *yardstick, p play) error {
	fleet, err := y.connected(ctx, r)
	if err != nil {
		return err
	}
	if err := quiet(ctx, fleet, 200*time.Millisecond); err != nil {
		return err
	}
	fleet.Stall(p.stall)
	defer fleet.Stall(0)
	before := fleet.Stats().Messages
	return y.using(ctx, fleet, p.result, func() error {
		if err := y.tell(ctx, "/play", p.parts); err != nil {
			return err
		}
		return wait(ctx, "messages of the floor", glance, p.messages, func() int { return int(fleet.Stats().Messages - before) })
	})
}

// floorWarm lets clients come back to the floor with what they hold.
func (r *runner) floorWarm(ctx context.Context, y *yardstick, s start) error {
	fleet, err := y.connected(ctx, r)
	if err != nil {
		return err
	}
	fleet.Disconnect()
	r.answer(s.warm, floor.Class{Warm: true})
	if err := y.tell(ctx, "/replies", r.replies); err != nil {
		return err
	}
	want := 0
	for class, frames := range s.warm {
		want += len(frames) * r.concerned(func(ns string) bool { return class == everyone || class == ns })
	}
	before := fleet.Stats().Messages
	return y.using(ctx, fleet, s.result, func() error {
		if err := fleet.Connect(ctx, y.address(r.Secure)); err != nil {
			return err
		}
		return wait(ctx, "messages of the floor", glance, want, func() int { return int(fleet.Stats().Messages - before) })
	})
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
			if err = errors.Join(err, resp.Body.Close()); err != nil {
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
