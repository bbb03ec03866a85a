package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Prober is one of the application's own probes or lifecycle hooks, as the injector saved it from
// the pod: exactly one of its kinds is set.
type Prober struct {
	HTTPGet        *HTTPGet   `json:"httpGet,omitempty"`
	TCPSocket      *TCPSocket `json:"tcpSocket,omitempty"`
	GRPC           *GRPC      `json:"grpc,omitempty"`
	TimeoutSeconds int        `json:"timeoutSeconds,omitempty"`
}

// HTTPGet is a probe by HTTP.
type HTTPGet struct {
	Path    string   `json:"path,omitempty"`
	Port    Port     `json:"port"`
	Host    string   `json:"host,omitempty"`
	Scheme  string   `json:"scheme,omitempty"`
	Headers []Header `json:"httpHeaders,omitempty"`
}

// Header is a header of a probe.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocket is a probe that only connects.
type TCPSocket struct {
	Port Port   `json:"port"`
	Host string `json:"host,omitempty"`
}

// GRPC is a probe by the gRPC health protocol.
type GRPC struct {
	Port    Port    `json:"port"`
	Service *string `json:"service,omitempty"`
}

// Port is a port number, written as a number or as a string.
type Port uint16

// UnmarshalJSON implements json.Unmarshaler.
func (p *Port) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseUint(string(bytes.Trim(data, `"`)), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port %s is no number from 1 to 65535 (the injector resolves names)", data)
	}
	*p = Port(n)
	return nil
}

// timeout is that of the probe; Kubernetes' default is a second.
func (p Prober) timeout() time.Duration {
	if p.TimeoutSeconds <= 0 {
		return time.Second
	}
	return time.Duration(p.TimeoutSeconds) * time.Second
}

// ParseProbers reads ISTIO_KUBE_APP_PROBERS: an object from request paths to probers. An entry that
// makes no sense is left out and told: the other probes, and the proxy itself, go on.
func ParseProbers(text string) (map[string]Prober, []error) {
	if text == "" {
		return nil, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, []error{fmt.Errorf("ISTIO_KUBE_APP_PROBERS: %w", err)}
	}
	var problems []error
	probers := make(map[string]Prober, len(raw))
	for path, data := range raw {
		p, err := parseProber(path, data)
		if err != nil {
			problems = append(problems, fmt.Errorf("ISTIO_KUBE_APP_PROBERS: %s: %w", path, err))
			continue
		}
		probers[path] = p
	}
	return probers, problems
}

func parseProber(path string, data json.RawMessage) (Prober, error) {
	if err := checkProberPath(path); err != nil {
		return Prober{}, err
	}
	var p Prober
	if err := json.Unmarshal(data, &p); err != nil {
		return Prober{}, err
	}
	kinds := 0
	for _, set := range []bool{p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return Prober{}, fmt.Errorf("want one of httpGet, tcpSocket, grpc, got %d", kinds)
	}
	if h := p.HTTPGet; h != nil {
		if h.Port == 0 {
			return Prober{}, errors.New("httpGet.port is missing")
		}
		if s := strings.ToLower(h.Scheme); s != "" && s != "http" && s != "https" {
			return Prober{}, fmt.Errorf("httpGet.scheme: %q is neither HTTP nor HTTPS", h.Scheme)
		}
	}
	if p.TCPSocket != nil && p.TCPSocket.Port == 0 || p.GRPC != nil && p.GRPC.Port == 0 {
		return Prober{}, errors.New("the port is missing")
	}
	return p, nil
}

// checkProberPath takes /app-health/CONTAINER/KIND and /app-lifecycle/CONTAINER/KIND.
func checkProberPath(path string) error {
	kinds := map[string]string{
		"livez": "app-health", "readyz": "app-health", "startupz": "app-health",
		"prestopz": "app-lifecycle", "poststartz": "app-lifecycle",
	}
	parts := strings.Split(path, "/")
	if len(parts) != 4 || parts[0] != "" || parts[2] == "" || parts[1] == "" || kinds[parts[3]] != parts[1] {
		return errors.New("want /app-health/CONTAINER/{livez,readyz,startupz} or /app-lifecycle/CONTAINER/{prestopz,poststartz}")
	}
	return nil
}
