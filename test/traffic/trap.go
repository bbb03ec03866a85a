package traffic

import "reflect"

// fallen gives what would come of a call in a mesh that falls into a trap: what is wanted of the call, but for what the
// trap says. Whether the connection ends, and the status, are those of the trap alone.
func (c *Call) fallen(trap *Want) *result {
	w := c.Want
	if trap.Cluster != "" || trap.Clusters != nil {
		w.Cluster, w.Clusters = "", nil
	}
	all, changed := reflect.ValueOf(&w).Elem(), reflect.ValueOf(trap).Elem()
	for i := range all.NumField() {
		if !changed.Field(i).IsZero() {
			all.Field(i).Set(changed.Field(i))
		}
	}
	w.Status, w.Closed = trap.Status, trap.Closed
	in := func(header map[string]string) func(string) *string {
		return func(name string) *string {
			if value, ok := header[name]; ok {
				return &value
			}
			return nil
		}
	}
	return &result{
		status: c.status(&w), closed: w.Closed, flags: w.Flags, clusters: w.shares(), endpoints: w.Endpoints, servers: w.Servers,
		tls: w.TLS, sni: w.SNI, presented: w.Presented, protocol: w.Protocol, path: w.Path, host: w.Host,
		request: in(w.Request), response: in(w.Response), location: w.Location, body: w.Body, timeout: w.Timeout,
		attempts: w.Attempts, mirrors: w.Mirrors, mirrored: w.Mirrored, delay: w.Delay, proxy: w.Proxy, tunnel: w.Tunnel,
	}
}
