package traffic

import (
	"maps"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// explained gives what explain has to read of a proxy.
func explained(res translate.Resources) *explain.Config {
	var all []proto.Message
	for _, kind := range res.ByType {
		for _, r := range kind {
			all = append(all, r.Body)
		}
	}
	c := explain.NewConfig(all)
	c.SecretsKnown = true
	return c
}

// predicted is what explain says of a call.
func (c *Call) predicted(a *explain.Answer) *result {
	o := &a.Outcome
	r := &result{status: o.Status, closed: o.Closed, location: &o.Location, body: &o.Body, presented: &o.Presented}
	if c.Upstream == "" {
		r.flags = commas(o.Flags)
	}
	if o.Delay != nil {
		r.delay = new(o.Delay.Duration.String())
	}
	f := o.Forward
	if f == nil {
		r.response = func(string) *string { return nil }
		return r
	}
	r.path, r.host, r.timeout, r.tunnel = &f.Path, &f.Host, new(f.Timeout.String()), &f.Tunnel
	upstream := 200
	if n, err := strconv.Atoi(c.Upstream); err == nil {
		upstream = n
	}
	if o.Status == 0 && !o.Closed && c.request.Protocol != explain.TCP {
		r.status = upstream
		switch {
		case c.Upstream == "slow":
			r.status = 504
		case c.failure() != explain.NoFailure:
			r.status = 503
		case c.scheme == "ws":
			r.status = 101
		}
	}
	r.attempts = new(f.Attempts(upstream, c.failure()))
	r.clusters = map[string]float64{}
	for i := range f.Clusters {
		r.add(&f.Clusters[i], c)
	}
	for _, m := range f.Mirrors {
		r.mirrors, r.mirrored = append(r.mirrors, m.Cluster), &m.Host
	}
	if len(f.Clusters) > 0 { // several change headers alike, or the case cannot tell what it wants
		r.request = header(f.RequestChanges(&f.Clusters[0]), c.sent())
		r.response = header(f.ResponseChanges(&f.Clusters[0]), nil)
	}
	return r
}

// failure is how the server fails, by what the call asks of it.
func (c *Call) failure() explain.Failure {
	if f := explain.Failure(c.Upstream); f == explain.ResetConnection || f == explain.NoConnection {
		return f
	}
	return explain.NoFailure
}

// sent gives the headers of the request by name, those among them that its scheme stands for.
func (c *Call) sent() map[string]string {
	out := map[string]string{}
	for name, values := range c.request.Header {
		out[name] = strings.Join(values, ",")
	}
	return out
}

// add notes a cluster that may be asked.
func (r *result) add(c *explain.Cluster, call *Call) {
	r.clusters[c.Name] += c.Percent
	r.protocol = &c.Protocol
	if c.Host != "" {
		r.host = &c.Host
	}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if e.Percent == 0 {
			continue
		}
		r.endpoints = append(r.endpoints, call.resolved(e.Address)...)
		r.tls, r.sni, r.proxy = &e.TLS, &e.SNI, &e.Proxy
		if e.TLS == "none" && call.request.TLS != nil {
			r.sni = &call.request.TLS.SNI
		}
	}
}

// header gives a header after all changes; nil where that is not known.
func header(changes []explain.HeaderChange, sent map[string]string) func(string) *string {
	return func(name string) *string {
		value := ""
		for sentName := range maps.Keys(sent) {
			if strings.EqualFold(sentName, name) {
				value = sent[sentName]
			}
		}
		for _, h := range changes {
			if !strings.EqualFold(h.Name, name) {
				continue
			}
			text := strings.ReplaceAll(h.Value, "%%", "\x00")
			if strings.Contains(text, "%") {
				return nil
			}
			text = strings.ReplaceAll(text, "\x00", "%")
			switch {
			case h.Do == "remove":
				value = ""
			case h.Do == "add" && value != "":
				value += "," + text
			default:
				value = text
			}
		}
		return &value
	}
}
