package pod

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/agent/status/grpchealth"
)

// eagerInterval is how often a container that has not been ready yet is asked between its probe's
// periods. A success then counts, so that a pod is ready as soon as it is; a failure does not,
// so that thresholds keep the time that they were meant to give.
const eagerInterval = 200 * time.Millisecond

// check asks a container once; an error says why it is not well. The agent asks as well, in the kubelet's
// stead (agent/status), but passes a request's headers and an answer's body and status on, and knows no
// Kubernetes types, which would double its program. What is the same, gRPC's, is one: grpchealth.
type check func(ctx context.Context) error

// thresholds of one probe with Kubernetes' defaults.
type thresholds struct {
	delay, period, timeout time.Duration
	success, failure       int32
}

func thresholdsOf(p *corev1.Probe) thresholds {
	seconds := func(n, def int32) time.Duration {
		if n <= 0 {
			n = def
		}
		return time.Duration(n) * time.Second
	}
	return thresholds{
		delay:   time.Duration(max(p.InitialDelaySeconds, 0)) * time.Second,
		period:  seconds(p.PeriodSeconds, 10),
		timeout: seconds(p.TimeoutSeconds, 1),
		success: max(p.SuccessThreshold, 1),
		failure: orThree(p.FailureThreshold),
	}
}

func orThree(n int32) int32 {
	if n <= 0 {
		return 3
	}
	return n
}

// tally counts the same answers in a row.
type tally struct {
	thresholds
	last bool
	run  int32
}

// observe gives true when this answer makes the row just as long as its threshold demands.
func (t *tally) observe(well bool) bool {
	if well != t.last {
		t.last, t.run = well, 0
	}
	t.run++
	if well {
		return t.run == t.success
	}
	return t.run == t.failure
}

// prober asks one probe again and again.
type prober struct {
	thresholds
	check check
	eager bool // ask often until the first success
	// failing is called with what each failed attempt said.
	failing func(err error)
}

// run reports each crossing of a threshold: true for well, or false and why. It ends with ctx, or
// when report gives false.
func (p prober) run(ctx context.Context, report func(well bool, err error) bool) {
	if !sleep(ctx, p.delay) {
		return
	}
	count := tally{thresholds: p.thresholds}
	eager := p.eager
	var counted time.Time // when a failure last counted
	for {
		began := time.Now()
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.failing(err)
		}
		due := counted.IsZero() || began.Sub(counted) >= p.period
		if due {
			counted = began
		}
		if (err == nil || due) && count.observe(err == nil) {
			if !report(err == nil, err) {
				return
			}
			eager = eager && err != nil
		}
		wait := p.period
		if eager {
			wait = min(eagerInterval, p.period)
		}
		if !sleep(ctx, wait-time.Since(began)) {
			return
		}
	}
}

func (p prober) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.check(ctx)
}

// sleep waits; it gives false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Dialer connects to an address, here inside the mesh's network namespace.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// target is the container that a handler asks.
type target struct {
	spec *corev1.Container
	ip   string
	dial Dialer
	exec func(ctx context.Context, cmd []string) error
}

// checkOf gives the check for a probe's or hook's handler.
func (t target) checkOf(h corev1.ProbeHandler) (check, error) {
	switch {
	case h.HTTPGet != nil:
		return t.http(h.HTTPGet)
	case h.TCPSocket != nil:
		addr, err := t.address(h.TCPSocket.Host, h.TCPSocket.Port)
		return func(ctx context.Context) error { return t.tcp(ctx, addr) }, err
	case h.GRPC != nil:
		return func(ctx context.Context) error { return t.grpc(ctx, h.GRPC) }, nil
	case h.Exec != nil:
		return func(ctx context.Context) error { return t.exec(ctx, h.Exec.Command) }, nil
	}
	return nil, fmt.Errorf("names none of httpGet, tcpSocket, grpc and exec")
}

// address resolves a port by its number or by its name among the container's ports.
func (t target) address(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = t.ip
	}
	n := int64(port.IntVal)
	if port.Type == intstr.String {
		var err error
		if n, err = strconv.ParseInt(port.StrVal, 10, 32); err != nil {
			n = 0
			for _, p := range t.spec.Ports {
				if p.Name == port.StrVal {
					n = int64(p.ContainerPort)
				}
			}
		}
	}
	if n < 1 || n > 65535 {
		return "", fmt.Errorf("port %q is neither a number from 1 to 65535 nor the name of one of the container's ports", port.String())
	}
	return net.JoinHostPort(host, strconv.FormatInt(n, 10)), nil
}

func (t target) tcp(ctx context.Context, addr string) error {
	conn, err := t.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (t target) http(h *corev1.HTTPGetAction) (check, error) {
	addr, err := t.address(h.Host, h.Port)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(h.Path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", h.Path, err)
	}
	u.Scheme, u.Host = "http", addr
	if h.Scheme == corev1.URISchemeHTTPS {
		u.Scheme = "https"
	}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:       t.dial,
			DisableKeepAlives: true,
			// As a kubelet: the pod's certificate is nobody's business here.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		// A redirect is an answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", "kube-probe/1.36")
		for _, kv := range h.HTTPHeaders {
			req.Header.Add(kv.Name, kv.Value)
			if http.CanonicalHeaderKey(kv.Name) == "Host" {
				req.Host = kv.Value
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode >= 400 {
			return fmt.Errorf("GET %s answers %s", u, resp.Status)
		}
		return nil
	}, nil
}

func (t target) grpc(ctx context.Context, g *corev1.GRPCAction) error {
	return grpchealth.Check(ctx, t.dial, net.JoinHostPort(t.ip, strconv.Itoa(int(g.Port))), g.Service)
}
