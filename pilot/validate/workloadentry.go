package validate

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) workloadEntry(we *networking.WorkloadEntry) { c.workload("spec", we) }

// maxSocketPath is the longest path of a Unix socket (unix(7)).
const maxSocketPath = 107

// workload checks what holds for every WorkloadEntry: an object, an endpoint of a ServiceEntry, and the
// template of a WorkloadGroup but for its address.
func (c *checker) workload(path string, we *networking.WorkloadEntry) {
	field := path + ".address"
	switch kind := model.KindOfAddress(we.GetAddress()); {
	case kind == model.AddressNone && we.GetNetwork() == "":
		c.missing(field)
	case kind == model.AddressUnix:
		c.socket(path, we)
	case kind == model.AddressName && (!isHost(we.GetAddress()) || numeric(we.GetAddress())):
		c.fail(field, "%q is neither an IP address, a hostname nor unix:///PATH", we.GetAddress())
	}
	c.endpointDetails(path, we)
}

// numeric tells whether a text was meant to be an IP address: its last part is a number.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func (c *checker) socket(path string, we *networking.WorkloadEntry) {
	field := path + ".address"
	socket, unix := strings.CutPrefix(we.GetAddress(), model.UnixScheme)
	switch {
	case !unix:
		c.fail(field, "%q is no address; write unix:// before the path of a Unix socket", we.GetAddress())
	case !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") || socket == "@":
		c.fail(field, "%q is no absolute path; write unix:///PATH or unix://@NAME", we.GetAddress())
	case strings.HasSuffix(socket, "/"):
		c.fail(field, "%q is a directory; write the path of the socket", we.GetAddress())
	case len(socket) > maxSocketPath:
		c.fail(field, "has a path of %d bytes, the limit of the system is %d", len(socket), maxSocketPath)
	}
	if len(we.GetPorts()) > 0 {
		c.fail(path+".ports", "cannot stand with a Unix socket; leave it out")
	}
}

// endpointDetails checks all of a WorkloadEntry but its address.
func (c *checker) endpointDetails(path string, we *networking.WorkloadEntry) {
	c.most(path+".ports", len(we.GetPorts()), maxEndpointPorts)
	for _, name := range sortedKeys(we.GetPorts()) {
		if !isPortName(name) {
			c.fail(entry(path+".ports", name), "%q is no port name; use letters, digits and dashes, 63 at most", name)
		}
	}
	c.most(path+".labels", len(we.GetLabels()), maxEntryItems)
	c.labels(path+".labels", we.GetLabels())
}

func (c *checker) workloadGroup(g *networking.WorkloadGroup) {
	c.labels("spec.metadata.labels", g.GetMetadata().GetLabels())
	c.annotations("spec.metadata.annotations", g.GetMetadata().GetAnnotations())
	switch t := g.GetTemplate(); {
	case t == nil:
		c.missing("spec.template")
	case t.GetAddress() == "": // each machine has its own
		c.endpointDetails("spec.template", t)
	default:
		c.workload("spec.template", t)
	}
	if p := g.GetProbe(); p != nil {
		c.probe("spec.probe", p)
	}
}

func (c *checker) probe(path string, p *networking.ReadinessProbe) {
	for _, n := range []struct {
		field string
		value int32
	}{
		{"initialDelaySeconds", p.GetInitialDelaySeconds()},
		{"timeoutSeconds", p.GetTimeoutSeconds()},
		{"periodSeconds", p.GetPeriodSeconds()},
		{"successThreshold", p.GetSuccessThreshold()},
		{"failureThreshold", p.GetFailureThreshold()},
	} {
		if n.value < 0 {
			c.fail(path+"."+n.field, "%d is negative; use 0 or more", n.value)
		}
	}
	switch m := p.GetHealthCheckMethod().(type) {
	case *networking.ReadinessProbe_HttpGet:
		c.httpProbe(path+".httpGet", m.HttpGet)
	case *networking.ReadinessProbe_TcpSocket, *networking.ReadinessProbe_Grpc: // the ports' bounds say it
	case *networking.ReadinessProbe_Exec:
		if len(m.Exec.GetCommand()) == 0 {
			c.missing(path + ".exec.command")
		}
		for i, word := range m.Exec.GetCommand() {
			if word == "" {
				c.missing(at(path+".exec.command", i))
			}
		}
	default:
		c.fail(path, "has no method; set httpGet, tcpSocket, grpc or exec")
	}
}

func (c *checker) httpProbe(path string, g *networking.HTTPHealthCheckConfig) {
	switch g.GetScheme() {
	case "", "HTTP", "HTTPS":
	default:
		c.fail(path+".scheme", "%q is no scheme; use HTTP or HTTPS", g.GetScheme())
	}
	for i, h := range g.GetHttpHeaders() {
		name := h.GetName()
		if name == "" || strings.Trim(name, "-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
			c.fail(at(path+".httpHeaders", i)+".name", "%q is no header name; use letters, digits, dashes and underscores", name)
		}
	}
}
