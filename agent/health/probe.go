// Package health probes the application of a machine, as the readinessProbe of its ProxyConfig says, which is that
// of its WorkloadGroup, and tells the control plane when its health changes. Pods have a kubelet for that.
package health

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/agent/status/grpchealth"
)

// Probe is Istio's networking.v1.ReadinessProbe. Exactly one of its kinds is set.
type Probe struct {
	InitialDelaySeconds int32 `json:"initialDelaySeconds"`
	TimeoutSeconds      int32 `json:"timeoutSeconds"`   // 0 means 1
	PeriodSeconds       int32 `json:"periodSeconds"`    // 0 means 10
	SuccessThreshold    int32 `json:"successThreshold"` // 0 means 1
	FailureThreshold    int32 `json:"failureThreshold"` // 0 means 3

	HTTPGet   *HTTPGet `json:"httpGet"`
	TCPSocket *struct {
		Host string `json:"host"`
		Port uint32 `json:"port"`
	} `json:"tcpSocket"`
	Exec *struct {
		Command []string `json:"command"`
	} `json:"exec"`
	GRPC *struct {
		Port    uint32 `json:"port"`
		Service string `json:"service"`
	} `json:"grpc"`
}

// HTTPGet is a probe by HTTP. An answer from 200 to 399 is a success.
type HTTPGet struct {
	Path    string `json:"path"`
	Port    uint32 `json:"port"`
	Host    string `json:"host"`
	Scheme  string `json:"scheme"`
	Headers []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"httpHeaders"`
}

// Parse reads the readinessProbe of a ProxyConfig; nil for none.
func Parse(raw any) (*Probe, error) {
	if raw == nil {
		return nil, nil
	}
	data, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	p := &Probe{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("readinessProbe: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("readinessProbe: %w", err)
	}
	p.TimeoutSeconds, p.PeriodSeconds = cmp.Or(p.TimeoutSeconds, 1), cmp.Or(p.PeriodSeconds, 10)
	p.SuccessThreshold, p.FailureThreshold = cmp.Or(p.SuccessThreshold, 1), cmp.Or(p.FailureThreshold, 3)
	return p, nil
}

func (p *Probe) check() error {
	kinds, port := 0, uint32(1)
	if p.HTTPGet != nil {
		kinds, port = kinds+1, p.HTTPGet.Port
		if s := strings.ToLower(p.HTTPGet.Scheme); s != "" && s != "http" && s != "https" {
			return fmt.Errorf("httpGet.scheme: %q is neither HTTP nor HTTPS", p.HTTPGet.Scheme)
		}
	}
	if p.TCPSocket != nil {
		kinds, port = kinds+1, p.TCPSocket.Port
	}
	if p.GRPC != nil {
		kinds, port = kinds+1, p.GRPC.Port
	}
	if p.Exec != nil {
		kinds++
		if len(p.Exec.Command) == 0 {
			return errors.New("exec.command is missing")
		}
	}
	if kinds != 1 {
		return fmt.Errorf("want one of httpGet, tcpSocket, exec, grpc, got %d", kinds)
	}
	if port == 0 || port > 65535 {
		return fmt.Errorf("%d is no port", port)
	}
	if min(p.InitialDelaySeconds, p.TimeoutSeconds, p.PeriodSeconds, p.SuccessThreshold, p.FailureThreshold) < 0 {
		return errors.New("a delay or threshold is less than 0")
	}
	return nil
}

// ask probes once. An error says why the application is not well.
func (p *Probe) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
	defer cancel()
	var d net.Dialer
	switch {
	case p.HTTPGet != nil:
		return p.HTTPGet.ask(ctx)
	case p.Exec != nil:
		return run(ctx, p.Exec.Command)
	case p.GRPC != nil:
		return grpchealth.Check(ctx, d.DialContext, address("", p.GRPC.Port), &p.GRPC.Service)
	}
	conn, err := d.DialContext(ctx, "tcp", address(p.TCPSocket.Host, p.TCPSocket.Port))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (h *HTTPGet) ask(ctx context.Context) error {
	url := strings.ToLower(cmp.Or(h.Scheme, "http")) + "://" + address(h.Host, h.Port) + "/" + strings.TrimPrefix(h.Path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "istio-probe/1.0")
	for _, header := range h.Headers {
		if strings.EqualFold(header.Name, "Host") {
			req.Host = header.Value
		} else {
			req.Header.Set(header.Name, header.Value)
		}
	}
	// A probe asks for life, not for identity; and an answer that leads elsewhere is one.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("%s answers %d", url, res.StatusCode)
	}
	return nil
}

// address is on the machine itself where the probe names no host.
func address(host string, port uint32) string {
	return net.JoinHostPort(cmp.Or(host, "localhost"), strconv.FormatUint(uint64(port), 10))
}
