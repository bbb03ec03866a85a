package envoy

import (
	"context"
	"time"
)

// DrainPolicy says how long a proxy keeps serving after it was told to end.
type DrainPolicy struct {
	// InboundOnly drains what comes to the pod and leaves the application's own calls alone; a
	// gateway drains everything.
	InboundOnly bool
	// Wait is the time between draining and stopping, without UntilIdle.
	Wait time.Duration
	// UntilIdle waits until no connection is left instead, and at least Minimum. Only the
	// platform's own patience bounds it.
	UntilIdle bool
	Minimum   time.Duration
	// Poll is the time between two looks at the connections; 0 is a second.
	Poll time.Duration
}

// maxPollFailures is how often in a row the count of connections may be unavailable before the
// agent stops waiting for it.
const maxPollFailures = 5

// Drain tells Envoy to refuse no one, but to ask its clients to go elsewhere. A later stop then
// waits no more: the caller has waited already.
func (p *Process) Drain(ctx context.Context) error {
	if err := p.admin.drain(ctx, p.cfg.Drain.InboundOnly, true); err != nil {
		return err
	}
	p.drained.Store(true)
	return nil
}

// drainBeforeStop drains and waits; the end of Envoy or the user's hurry end the wait.
func (p *Process) drainBeforeStop(ended, hurry <-chan struct{}) {
	if p.drained.Load() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ended:
		case <-hurry:
		case <-ctx.Done():
		}
		cancel()
	}()
	defer func() {
		cancel()
		<-watched
	}()
	d := p.cfg.Drain
	if err := p.admin.drain(ctx, d.InboundOnly, false); err != nil {
		p.cfg.Logger.Warn("envoy was not drained", "error", err)
	}
	if !d.UntilIdle {
		p.cfg.Logger.Info("envoy drains", "for", d.Wait)
		sleep(ctx, d.Wait)
		return
	}
	p.cfg.Logger.Info("envoy drains until no connection is left", "minimum", d.Minimum)
	sleep(ctx, d.Minimum)
	p.waitUntilIdle(ctx)
}

func (p *Process) waitUntilIdle(ctx context.Context) {
	poll := p.cfg.Drain.Poll
	if poll == 0 {
		poll = time.Second
	}
	failures := 0
	for ctx.Err() == nil {
		n, err := p.admin.activeConnections(ctx)
		switch {
		case err == nil && n == 0:
			return
		case err == nil:
			failures = 0
			p.cfg.Logger.Debug("envoy still has connections", "active", n)
		default:
			if failures++; failures == maxPollFailures {
				p.cfg.Logger.Warn("envoy does not tell its connections; stopping without waiting", "error", err)
				return
			}
		}
		sleep(ctx, poll)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
