package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// envoyStats are the only statistics that readiness asks for.
const envoyStats = "/stats?usedonly&filter=^(server.state|cluster_manager.cds.update_success|" +
	"listener_manager.lds.update_success|listener_manager.workers_started)$"

// EnvoyReady holds when Envoy has received clusters and listeners once, serves, and is not
// draining or shutting down. What happened once needs no second look.
type EnvoyReady struct {
	url     string
	client  *http.Client
	started atomic.Bool // configuration received and workers started
}

// NewEnvoyReady asks the admin interface at host:port.
func NewEnvoyReady(admin string) *EnvoyReady {
	return &EnvoyReady{
		url: "http://" + admin + envoyStats,
		client: &http.Client{
			Timeout:   2 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: true},
		},
	}
}

// Check implements Condition.
func (e *EnvoyReady) Check(ctx context.Context) error {
	stats, err := e.stats(ctx)
	if err != nil {
		return fmt.Errorf("envoy does not answer: %w", err)
	}
	if !e.started.Load() {
		var missing []string
		for _, s := range []struct{ name, what string }{
			{"cluster_manager.cds.update_success", "clusters (CDS)"},
			{"listener_manager.lds.update_success", "listeners (LDS)"},
		} {
			if stats[s.name] == 0 {
				missing = append(missing, s.what)
			}
		}
		if len(missing) > 0 {
			return errors.New("config not received from the control plane: " + strings.Join(missing, " and "))
		}
	}
	// 0 is LIVE; then DRAINING, PRE_INITIALIZING, INITIALIZING.
	state, told := stats["server.state"]
	if !told {
		return errors.New("envoy does not tell its state")
	}
	if state != 0 {
		names := []string{"LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"}
		if state < uint64(len(names)) {
			return errors.New("envoy is " + names[state])
		}
		return fmt.Errorf("envoy is in state %d", state)
	}
	if !e.started.Load() {
		if stats["listener_manager.workers_started"] == 0 {
			return errors.New("envoy's workers are not started")
		}
		e.started.Store(true)
	}
	return nil
}

func (e *EnvoyReady) stats(ctx context.Context) (map[string]uint64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	stats := map[string]uint64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		n, err := strconv.ParseUint(value, 10, 64)
		if ok && err == nil {
			stats[name] = n
		}
	}
	return stats, lines.Err()
}
