package envoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// adminTimeout bounds one call of Envoy's admin interface.
const adminTimeout = 3 * time.Second

// admin is a client of Envoy's admin interface.
type admin struct {
	base   string
	client *http.Client
}

func newAdmin(address string) *admin {
	return &admin{
		base: "http://" + address,
		client: &http.Client{
			Timeout:   adminTimeout,
			Transport: &http.Transport{DisableKeepAlives: true},
		},
	}
}

// drain starts graceful draining. With skipExit Envoy keeps its listeners when draining has ended.
func (a *admin) drain(ctx context.Context, inboundOnly, skipExit bool) error {
	query := "graceful"
	if skipExit {
		query += "&skip_exit"
	}
	if inboundOnly {
		query = "inboundonly&" + query
	}
	body, err := a.call(ctx, http.MethodPost, "/drain_listeners?"+query)
	if err != nil {
		return err
	}
	return body.Close()
}

// activeConnections counts what clients hold open, apart from scrapes and health checks.
func (a *admin) activeConnections(ctx context.Context) (int, error) {
	body, err := a.call(ctx, http.MethodGet, "/stats?usedonly&filter=downstream_cx_active$")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	sum := 0
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok || !countsForDrain(name) {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("envoy admin: %s: %w", name, err)
		}
		sum += n
	}
	return sum, lines.Err()
}

// countsForDrain leaves out Envoy's admin interface, metrics, health, and the connections that
// Envoy makes to itself.
func countsForDrain(stat string) bool {
	listener, ok := strings.CutPrefix(stat, "listener.")
	if !ok || strings.Contains(listener, ".worker_") || strings.Contains(listener, ".main_thread.") {
		return false
	}
	listener = strings.TrimSuffix(listener, ".downstream_cx_active")
	for _, own := range []string{"_15021", "_15090", "_15091", "_15092"} {
		if strings.HasSuffix(listener, own) {
			return false
		}
	}
	return listener != "admin" && !strings.HasPrefix(listener, "envoy_internal_") && !strings.Contains(listener, ".http.")
}

// setRuntime sets a value of the runtime's admin layer.
func (a *admin) setRuntime(ctx context.Context, key, value string) error {
	body, err := a.call(ctx, http.MethodPost, "/runtime_modify?"+url.Values{key: {value}}.Encode())
	if err != nil {
		return err
	}
	return body.Close()
}

func (a *admin) call(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, errors.New("envoy admin: " + method + " " + path + ": " + res.Status)
	}
	return res.Body, nil
}
