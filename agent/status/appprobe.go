package status

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent/status/grpchealth"
)

// maxProbeBody is how much of the application's answer is given on: a kubelet reads as much.
const maxProbeBody = 10 << 10

// probeHeader carries the secret that the injector wrote into the pod, by which a probe or hook is known
// to come from the kubelet. Package pilot/inject has the same name.
const probeHeader = "X-Pilothouse-Probe"

// Probes come from these addresses, which the pod's redirection lets pass: a probe must not go
// through the proxy whose pod it asks about.
var (
	probeSource4 = netip.MustParseAddr("127.0.0.6")
	probeSource6 = netip.MustParseAddr("::6")
)

// appProber makes the application's probes on the kubelet's behalf.
type appProber struct {
	probers map[string]Prober
	token   string // what probeHeader has to say; empty where the injector gave none
	podIP   netip.Addr
	dialer  net.Dialer
	client  *http.Client
	logger  *slog.Logger
}

func newAppProber(probers map[string]Prober, token string, podIP netip.Addr, logger *slog.Logger) *appProber {
	if !podIP.IsValid() {
		podIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	source := probeSource4
	if podIP.Unmap().Is6() {
		source = probeSource6
	}
	p := &appProber{
		probers: probers, token: token, podIP: podIP, logger: logger,
		dialer: net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}},
	}
	p.client = &http.Client{
		Transport: &http.Transport{
			DialContext:       p.dialer.DialContext,
			DisableKeepAlives: true,
			// A kubelet verifies no certificate either: a probe asks for life, not for identity.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: sameHostOnly,
	}
	return p
}

// sameHostOnly follows redirects as a kubelet does: within the host, ten at most. One that leads
// elsewhere is taken as it is, and counts as success.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// told says whether a request comes from who was told to ask. A pod that was injected by Istio has no
// secret, and there everyone is, as with Istio's agent. Comparing takes the same time for every guess.
func (p *appProber) told(r *http.Request) bool {
	return p.token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get(probeHeader)), []byte(p.token)) == 1
}

// ServeHTTP answers 403 to who was not told to ask, 400 for a path that no probe has and 500 for a
// probe that fails.
func (p *appProber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.told(r) {
		http.Error(w, "probes and hooks are for the kubelet, which sends the pod's "+probeHeader, http.StatusForbidden)
		return
	}
	prober, ok := p.probers[r.URL.Path]
	if !ok {
		http.Error(w, "no probe at "+r.URL.Path, http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), prober.timeout())
	defer cancel()
	var err error
	switch {
	case prober.HTTPGet != nil:
		err = p.http(ctx, w, r, prober.HTTPGet)
	case prober.TCPSocket != nil:
		err = p.tcp(ctx, prober.TCPSocket)
	default:
		err = p.grpc(ctx, prober.GRPC)
	}
	if err != nil {
		p.logger.Debug("application probe failed", "path", r.URL.Path, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// http asks the application and writes its answer. An error means that nothing was written.
func (p *appProber) http(ctx context.Context, w http.ResponseWriter, r *http.Request, get *HTTPGet) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(get), nil)
	if err != nil {
		return err
	}
	// The kubelet's own headers go on, such as User-Agent; the probe's own win.
	req.Header = r.Header.Clone()
	req.Header.Del("Connection")
	req.Header.Del(probeHeader) // for the agent alone
	req.Header.Del("Accept-Encoding")
	for _, h := range get.Headers {
		if strings.EqualFold(h.Name, "Host") {
			req.Host = h.Value
			continue
		}
		req.Header.Set(h.Name, h.Value)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("application: %w", err)
	}
	defer res.Body.Close()
	status := res.StatusCode
	if status >= 300 && status < 400 {
		status = http.StatusOK
	}
	if contentType := res.Header.Get("Content-Type"); contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(status)
	if _, err := io.CopyN(w, res.Body, maxProbeBody); err != nil && !errors.Is(err, io.EOF) {
		p.logger.Debug("probe's body not given on", "error", err)
	}
	return nil
}

func (p *appProber) url(get *HTTPGet) string {
	scheme := strings.ToLower(get.Scheme)
	if scheme == "" {
		scheme = "http"
	}
	path := get.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return scheme + "://" + p.hostPort(get.Host, get.Port) + path
}

// hostPort prefers the probe's own host, as Kubernetes does, except for names of the pod itself.
func (p *appProber) hostPort(host string, port Port) string {
	if host == "" || host == "localhost" {
		host = p.podIP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (p *appProber) tcp(ctx context.Context, socket *TCPSocket) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.hostPort(socket.Host, socket.Port))
	if err != nil {
		return fmt.Errorf("application: %w", err)
	}
	return conn.Close()
}

func (p *appProber) grpc(ctx context.Context, g *GRPC) error {
	if err := grpchealth.Check(ctx, p.dialer.DialContext, p.hostPort("", g.Port), g.Service); err != nil {
		return fmt.Errorf("application: %w", err)
	}
	return nil
}
