// Package traffic tells who calls whom in the mesh, and how that goes, without a Prometheus. While somebody
// looks at it, and only then, it reads the metrics of the proxies that are connected, as a Prometheus would,
// and makes rates of what they have counted since it read them before.
package traffic

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// port has a proxy's metrics, as Istio's documentation has it for Prometheus.
	port = 15090
	// filter leaves out what Envoy counts besides, in its own names and in those of Istio's proxies.
	filter = `^istio`
	// maxProxies is how many are read in one look.
	maxProxies  = 250
	concurrency = 16
	// readTimeout bounds one proxy, lookTimeout all of them.
	readTimeout = 2 * time.Second
	lookTimeout = 5 * time.Second
	// everyLook is the least time between two looks. One that took long waits restFactor times as long, so
	// that looking takes a small part of anybody's time.
	everyLook  = time.Second
	restFactor = 5
	// window is the time over which rates are taken.
	window = 30 * time.Second
	// forgetAfter is when what was read is dropped if nobody looks any more.
	forgetAfter = time.Minute
)

// Proxy is one whose metrics may be read.
type Proxy struct {
	Name      string     // POD.NAMESPACE
	Namespace string     // proven
	Address   netip.Addr // where its stream comes from
}

// Options of a Watcher.
type Options struct {
	// Proxies gives those that are connected and have proven who they are, by name.
	Proxies func() []Proxy
	Logger  *slog.Logger
	// Port of the metrics of every proxy; 0 is Istio's.
	Port uint16
}

// Watcher reads proxies. It does nothing until Look is called.
type Watcher struct {
	opts   Options
	client *http.Client

	looking chan struct{} // has a token during a look, of which there is one at a time

	mu      sync.Mutex
	rest    time.Time // no look before
	history map[string]*history
	forget  *time.Timer
}

// history is what was read of one proxy in the window, oldest first.
type history struct {
	namespace string
	points    []point
	err       error // of the last reading
}

type point struct {
	at time.Time
	readings
}

// New gives a Watcher.
func New(opts Options) *Watcher {
	if opts.Port == 0 {
		opts.Port = port
	}
	return &Watcher{
		opts: opts, history: map[string]*history{}, looking: make(chan struct{}, 1),
		client: &http.Client{
			// No proxy of the environment, and no way on to another address.
			Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 15 * time.Second, DialContext: (&net.Dialer{Timeout: readTimeout}).DialContext},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Look reads the proxies of a namespace, "" for all, unless that was done just now, and gives the graph.
func (w *Watcher) Look(ctx context.Context, namespace string) Graph {
	chosen := slices.DeleteFunc(slices.Clone(w.opts.Proxies()), func(p Proxy) bool { return namespace != "" && p.Namespace != namespace })
	slices.SortStableFunc(chosen, func(a, b Proxy) int { return cmpProxies(a, b) })
	chosen = slices.CompactFunc(chosen, func(a, b Proxy) bool { return a.Name == b.Name })
	all := len(chosen)
	chosen = chosen[:min(all, maxProxies)]
	w.read(ctx, chosen)
	w.mu.Lock()
	defer w.mu.Unlock()
	g := Graph{Proxies: all, Unread: all - len(chosen)}
	rates := map[edge]*rate{}
	for _, p := range chosen {
		h := w.history[p.Name]
		if h == nil {
			continue
		}
		if h.err != nil {
			g.Failed = append(g.Failed, Failure{p.Name, h.err.Error()})
		}
		h.addTo(rates, &g)
	}
	g.fill(rates)
	return g
}

// read takes the proxies' counts if it is time to.
func (w *Watcher) read(ctx context.Context, proxies []Proxy) {
	select {
	case w.looking <- struct{}{}:
		defer func() { <-w.looking }()
	case <-ctx.Done(): // who has left does not wait for the looks of others
		return
	}
	began := time.Now()
	w.mu.Lock()
	due := !began.Before(w.rest)
	if w.forget == nil {
		w.forget = time.AfterFunc(forgetAfter, w.drop)
	}
	w.forget.Reset(forgetAfter)
	w.mu.Unlock()
	if !due && w.known(proxies) {
		return
	}
	// Who looks may leave before the others, who wait for the same, have an answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	var group sync.WaitGroup
	slots := make(chan struct{}, concurrency)
	for _, p := range proxies {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			r, err := w.ask(ctx, p)
			w.take(p, point{time.Now(), r}, err)
		})
	}
	group.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = time.Now().Add(max(everyLook, restFactor*time.Since(began)))
	for name, h := range w.history { // of those that are gone, or not looked at any more
		if len(h.points) > 0 && time.Since(h.points[len(h.points)-1].at) > window {
			delete(w.history, name)
		}
	}
}

// known tells whether all of the proxies were read before.
func (w *Watcher) known(proxies []Proxy) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(proxies, func(p Proxy) bool { return w.history[p.Name] == nil })
}

// drop forgets everything.
func (w *Watcher) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history, w.forget = map[string]*history{}, nil
	w.client.CloseIdleConnections()
}

func (w *Watcher) ask(ctx context.Context, p Proxy) (readings, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	at := url.URL{
		Scheme: "http", Host: net.JoinHostPort(p.Address.String(), strconv.Itoa(int(w.opts.Port))), Path: "/stats/prometheus",
		RawQuery: url.Values{"filter": {filter}}.Encode(),
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return readings{}, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return readings{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readings{}, fmt.Errorf("port %d answers %s", w.opts.Port, resp.Status)
	}
	return parse(resp.Body, p.Namespace)
}

func (w *Watcher) take(p Proxy, at point, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history[p.Name]
	if h == nil || h.namespace != p.Namespace {
		h = &history{namespace: p.Namespace}
		w.history[p.Name] = h
	}
	if h.err = err; err != nil {
		w.opts.Logger.Debug("a proxy's metrics were not read", "proxy", p.Name, "error", err)
		return
	}
	if n := len(h.points); n > 1 && at.at.Sub(h.points[n-2].at) < window/steps {
		h.points = h.points[:n-1] // the new one says as much
	}
	h.points = append(h.points, at)
	for len(h.points) > 2 && at.at.Sub(h.points[1].at) >= window {
		h.points = slices.Delete(h.points, 0, 1)
	}
}

// steps is by how many points the window moves on, which bounds what is kept of a proxy.
const steps = 10
