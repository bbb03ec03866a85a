package explain

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
)

// Peer is the proxy beside a server.
type Peer struct {
	// Name is that of its workload, or, of a Replica, that of its pod where the endpoint does not tell its workload.
	Name    string
	Replica bool
	// Config gives what it runs.
	Config func() (*Config, error)
}

// arrival is what a proxy beside a server says of a request.
type arrival struct {
	steps      []Step
	outcome    Outcome
	terminated bool // the TLS that it came in
}

// arrive goes on to the proxies beside the servers of a cluster, and notes which of them let the request in. Only
// what they decide about it is told: policies, and the TLS that they want.
func (w *walk) arrive(f *Forward, c *Cluster, isHTTP bool) {
	if w.Peer == nil || w.request.Way == Inbound {
		return
	}
	seen := map[string]*arrival{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		to, err := netip.ParseAddrPort(e.Address)
		if err != nil || e.Percent == 0 {
			continue
		}
		peer := w.Peer(to.Addr())
		if peer == nil {
			if !w.bare(e, to.Addr(), isHTTP, seen) {
				w.unheard(c, e, seen)
			}
			continue
		}
		if name, rest, ok := strings.Cut(e.Workload, ";"); ok && peer.Replica { // all replicas run the same
			namespace, _, _ := strings.Cut(rest, ";")
			peer.Name = name + "." + namespace
		}
		key := fmt.Sprint(peer.Name, to.Port(), e.TLS)
		if seen[key] == nil {
			seen[key] = w.received(peer, w.arriving(f, c, e, to, isHTTP))
			w.answer.Steps = append(w.answer.Steps, seen[key].steps...)
		}
		e.unwrapped = seen[key].terminated
		if o := seen[key].outcome; o.Refused {
			e.Status, e.Refusal = o.Status, peer.Name+": "+o.Reason
			if o.Closed && isHTTP {
				e.Status = http.StatusServiceUnavailable
			}
		}
	}
}

// bare refuses, for a server that is known to have no sidecar, the mesh's mutual TLS, of which no application knows.
func (w *walk) bare(e *Endpoint, server netip.Addr, isHTTP bool, seen map[string]*arrival) bool {
	if !e.meshTLS || w.Bare == nil || !w.Bare(server) {
		return false
	}
	name, text := cmp.Or(e.workload(), e.Address), "has no sidecar that would take mutual TLS, for which a DestinationRule asks (ISTIO_MUTUAL): the handshake fails"
	if e.Refusal = name + ": " + text; isHTTP {
		e.Status = http.StatusServiceUnavailable
	}
	if seen[name] == nil {
		seen[name] = &arrival{}
		w.step(StageHandshake, name, text, nil)
	}
	return true
}

// workload names the workload of an endpoint; "" where it is not known.
func (e *Endpoint) workload() string {
	if parts := strings.Split(e.Workload, ";"); len(parts) > 1 { // NAME;NAMESPACE;CANONICAL NAME;REVISION;CLUSTER
		return parts[0] + "." + parts[1]
	}
	return ""
}

// unheard tells, once for each workload, that a server has a proxy of which nothing is known here.
func (w *walk) unheard(c *Cluster, e *Endpoint, seen map[string]*arrival) {
	server, text := "servers of "+shortCluster(c.Name), "their proxies are not known here, and so their policies are not: they may refuse it"
	if known := e.workload(); known != "" {
		server, text = known, "its proxy is not known here, and so its policies are not: they may refuse it"
	}
	if e.TLS != "mutual" || seen[server] != nil {
		return
	}
	seen[server] = &arrival{}
	w.step(StagePolicy, server, text, nil)
}

// arriving is the request as it comes to an endpoint.
func (w *walk) arriving(f *Forward, c *Cluster, e *Endpoint, to netip.AddrPort, isHTTP bool) Request {
	r := Request{Way: Inbound, Source: w.IP, Destination: to, Protocol: TCP, TLS: w.request.TLS, hidden: w.hidesClient}
	if isHTTP || w.terminated {
		r.TLS = nil
	}
	switch e.TLS {
	case "mutual":
		r.TLS = &TLS{SNI: e.SNI, ALPN: w.offered(c, e, isHTTP), Certificate: true, Identity: w.Identity}
	case "simple":
		r.TLS = &TLS{SNI: e.SNI, ALPN: w.offered(c, e, isHTTP)}
	}
	if !isHTTP {
		if f.Tunnel == "" && !w.doubled(e) { // the client's bytes, which the server's proxy may know
			r.Protocol, r.Method, r.Host, r.Path = w.request.Protocol, w.request.Method, w.request.Host, w.request.Path
			r.Header, r.Claims = w.request.Header, w.request.Claims
		}
		return r
	}
	r.Protocol = HTTP11
	if c.Protocol == string(HTTP2) {
		r.Protocol = HTTP2
	}
	r.Method, r.Host, r.Path, r.Header = w.request.Method, f.Host, f.Path, w.request.Header.Clone()
	if c.Host != "" {
		r.Host = c.Host
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for _, h := range f.RequestChanges(c) {
		h.change(r.Header)
	}
	if w.forwardedFor != "" {
		r.Header.Set("X-Forwarded-For", w.forwardedFor)
	}
	if !w.tokenSpent {
		r.Claims = w.request.Claims
	}
	return r
}

// offered is what a connection to an endpoint offers by ALPN: for HTTP what the cluster says of it, if it does.
func (w *walk) offered(c *Cluster, e *Endpoint, isHTTP bool) []string {
	list := e.ALPN
	if own := w.Clusters[c.Name].GetMetadata().GetFilterMetadata()["istio"].GetFields()["alpn"].GetStringValue(); own != "" && isHTTP {
		list = own
	}
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// change makes the change, as far as its value is known here: Envoy's %COMMANDS% are not.
func (h HeaderChange) change(header http.Header) {
	value := strings.ReplaceAll(h.Value, "%%", "\x00")
	if strings.Contains(value, "%") {
		return
	}
	value = strings.ReplaceAll(value, "\x00", "%")
	_, there := header[http.CanonicalHeaderKey(h.Name)]
	switch {
	case h.Do == "remove":
		header.Del(h.Name)
	case h.Do == "add":
		header.Add(h.Name, value)
	case h.Do == "set", h.Do == "set if present" && there, h.Do == "add if absent" && !there:
		header.Set(h.Name, value)
	}
}

// received asks a proxy about a request that comes to it.
func (w *walk) received(peer *Peer, r Request) *arrival {
	own := Step{Stage: StagePolicy, Name: peer.Name}
	config, err := peer.Config()
	if err != nil {
		own.Text = fmt.Sprintf("what its proxy does is not known: %v", err)
		return &arrival{steps: []Step{own}}
	}
	if !config.Captures() {
		r.Way = Direct
	}
	inner := &walk{Config: config, request: r, answer: &Answer{}}
	inner.listen()
	out := &arrival{outcome: inner.answer.Outcome, terminated: inner.terminated}
	decided := false
	for _, s := range inner.answer.Steps {
		switch {
		case s.Stage == StagePolicy:
			s.Name, decided = peer.Name, true
		case s.open:
			s.Name = peer.Name + " " + s.Name
		default:
			continue
		}
		out.steps = append(out.steps, s)
	}
	if o := &out.outcome; o.Status != 0 && !o.Refused {
		own.Text, decided = fmt.Sprintf("its proxy answers %d by itself: %s", o.Status, o.Reason), true
		out.steps = append(out.steps, own)
	}
	if decided {
		return out
	}
	call := authz.Call{Identity: inner.identity}
	if r.Protocol != TCP {
		call.Request = &authz.Request{Method: r.method(), Path: r.Path}
	}
	own.Text = "no policy decides about " + inner.calling(call) + ", which comes in"
	if out.outcome.Refused {
		own.Text, own.Object, own.Place = inner.refusal()
	}
	out.steps = append(out.steps, own)
	return out
}

// refusal says why a proxy does not take a connection at all, and which object asks for that.
func (w *walk) refusal() (text, object string, at Place) {
	if w.request.TLS != nil || !w.takesOnlyTLS() {
		return w.answer.Outcome.Reason, "", Place{}
	}
	w.answer.Outcome.Reason = "the server takes mutual TLS only, and the client comes in the clear"
	p := w.askedBy(w.MutualTLSBy, fmt.Sprint(w.request.Destination.Port()))
	return "takes mutual TLS only, and the client comes in the clear: the connection is closed", p.Object, w.place(p)
}

// takesOnlyTLS tells whether a connection would have been taken, had it come by the mesh's TLS.
func (w *walk) takesOnlyTLS() bool {
	r := w.request
	r.TLS = &TLS{ALPN: []string{"istio-http/1.1", "istio"}, Certificate: true}
	secure := &walk{Config: w.Config, request: r, answer: &Answer{}}
	secure.listen()
	return !secure.answer.Outcome.Closed
}

// ending is how requests end that no server gets: by the proxy's own answer, or by that of the server's proxy.
type ending struct {
	status        int
	flags, reason string
}

// settle makes of what the clusters have, and of what the servers' proxies say, what the client gets: where all end
// alike, that is the outcome.
func (w *walk) settle(f *Forward, isHTTP bool) {
	var ends []ending
	var parts []string
	refused, asked := 0, 0
	for i := range f.Clusters {
		c := &f.Clusters[i]
		if c.Reason != "" {
			ends = append(ends, ending{http.StatusServiceUnavailable, c.Flags, c.Reason})
			answer := map[bool]string{true: "get 503", false: "are closed"}[isHTTP]
			parts = append(parts, fmt.Sprintf("%g %% %s (%s): %s", c.Percent, answer, c.Flags, c.Reason))
			continue
		}
		for _, e := range c.Endpoints {
			if e.Percent > 0 {
				asked++
			}
			if e.Refusal == "" {
				continue
			}
			ends = append(ends, ending{status: e.Status, reason: e.Refusal})
			if refused++; refused == 1 {
				parts = slices.Insert(parts, 0, e.Refusal)
			}
		}
	}
	if len(ends) == 0 {
		return
	}
	o, first := &w.answer.Outcome, ends[0]
	o.Refused = refused == asked
	differ := isHTTP && slices.ContainsFunc(ends, func(e ending) bool { return e.status != first.status })
	if !o.Refused || differ {
		if refused > 0 {
			parts[0] = fmt.Sprintf("%d of %d endpoints refuse it: %s", refused, asked, parts[0])
		}
		o.Partly = strings.Join(parts, "; ")
		return
	}
	o.Reason, o.Flags = first.reason, first.flags
	if !isHTTP {
		o.Closed = true
		return
	}
	o.Status = first.status
	if o.Status == http.StatusForbidden {
		o.Body = denied
	}
}
