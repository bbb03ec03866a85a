package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pilothouse-mesh/pilothouse/bench/process"
)

// stopwatch measures time, CPU time of a process, and that of this one, which plays the clients.
type stopwatch struct {
	of        *process.Process
	at        time.Time
	cpu, mine time.Duration
}

func startWatch(of *process.Process) (*stopwatch, error) {
	w := &stopwatch{of: of, at: time.Now()}
	var err error
	w.cpu, w.mine, err = w.read()
	return w, err
}

func (w *stopwatch) read() (other, mine time.Duration, err error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0, 0, fmt.Errorf("own CPU time: %w", err)
	}
	other, err = w.of.CPU()
	return other, time.Duration(t.Nano()), err
}

func (w *stopwatch) stop(r *Result) error {
	took := time.Since(w.at)
	cpu, mine, err := w.read()
	r.Seconds, r.ServerCPU, r.ClientCPU = took.Seconds(), (cpu - w.cpu).Seconds(), (mine - w.mine).Seconds()
	return err
}

// profile starts the profiles that are to be taken during a scenario. The function that it gives
// waits for them.
func (r *runner) profile(ctx context.Context, scenario string) (func() error, error) {
	if p := r.Profile; p.Scenario != scenario {
		return func() error { return nil }, nil
	}
	stopClients, err := profileClients(r.Profile.Clients)
	if err != nil {
		return nil, err
	}
	server := make(chan error, 1)
	go func() {
		if r.Profile.CPU == "" {
			server <- nil
			return
		}
		seconds := max(1, int(r.Profile.Time.Seconds()))
		server <- r.server.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), r.Profile.CPU)
	}()
	return func() error {
		err := errors.Join(stopClients(), <-server)
		if r.Profile.Memory != "" {
			err = errors.Join(err, r.server.collect(ctx), r.server.save(ctx, "/debug/pprof/heap?gc=1", r.Profile.Memory))
		}
		return err
	}, nil
}

func profileClients(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
