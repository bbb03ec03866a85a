package health

import (
	"context"
	"log/slog"
	"time"
)

// Checker probes an application again and again.
type Checker struct {
	probe *Probe
	// tell is told of each change: nil for health, else what is wrong. It must not block.
	tell   func(problem error)
	logger *slog.Logger
}

// New gives a Checker; Run makes it probe.
func New(probe *Probe, tell func(problem error), logger *slog.Logger) *Checker {
	return &Checker{probe, tell, logger}
}

// Run probes until ctx ends. Nothing is told before one of the thresholds is reached.
func (c *Checker) Run(ctx context.Context) error {
	wait := time.NewTimer(time.Duration(c.probe.InitialDelaySeconds) * time.Second)
	defer wait.Stop()
	var s streak
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		began := time.Now()
		err := c.probe.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.add(err == nil, c.probe) {
			c.logger.Info("the application's health has changed", "healthy", err == nil, "error", err)
			c.tell(err)
		}
		wait.Reset(max(0, time.Duration(c.probe.PeriodSeconds)*time.Second-time.Since(began)))
	}
}

// streak counts results of one kind in a row.
type streak struct {
	well   bool
	length int32
	said   bool // anything
	health bool // that was said
}

// add tells whether the health changes with a result.
func (s *streak) add(well bool, p *Probe) bool {
	if well != s.well {
		s.well, s.length = well, 0
	}
	threshold := p.FailureThreshold
	if well {
		threshold = p.SuccessThreshold
	}
	s.length = min(s.length+1, threshold)
	if s.length < threshold || s.said && s.health == well {
		return false
	}
	s.said, s.health = true, well
	return true
}
