package validate

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (c *checker) gateway(gw *networking.Gateway) {
	c.labels("spec.selector", gw.GetSelector())
	if len(gw.GetSelector()) == 0 {
		c.warn("spec.selector", "is empty, so the Gateway applies to every gateway proxy; select one by its labels")
	}
	if len(gw.GetServers()) == 0 {
		c.fail("spec.servers", "is empty; add a server with port and hosts")
	}
	var names []string
	for i, server := range gw.GetServers() {
		path := at("spec.servers", i)
		if server == nil {
			c.missing(path)
			continue
		}
		c.server(path, server)
		name := server.GetPort().GetName()
		if name != "" && slices.Contains(names, name) {
			c.fail(path+".port.name", "%q is the name of another port too; rename one", name)
		}
		names = append(names, name)
	}
}

func (c *checker) server(path string, s *networking.Server) {
	if s.GetPort() == nil {
		c.missing(path + ".port")
	} else {
		if s.GetPort().GetName() == "" {
			c.missing(path + ".port.name")
		}
		if s.GetPort().GetProtocol() == "" {
			c.missing(path + ".port.protocol")
		}
		c.protocol(path+".port.protocol", s.GetPort().GetProtocol())
	}
	c.bind(path, s.GetBind(), s.GetPort().GetNumber())
	if len(s.GetHosts()) == 0 {
		c.fail(path+".hosts", `is empty; name hosts, or "*" for every host`)
	}
	for i, host := range s.GetHosts() {
		ns, name, qualified := strings.Cut(host, "/")
		if !qualified {
			ns, name = "*", host
		}
		namespace := ns == "*" || ns == "." || len(validation.IsDNS1123Label(ns)) == 0
		if !namespace || !isWildcardHost(name) && !isIP(name) {
			c.fail(at(path+".hosts", i), "%q is no host; use a name, a wildcard such as *.example.com, or namespace/name", host)
		} else if shortName(name) {
			c.fail(at(path+".hosts", i), "%q is a short name, and whose is not known; write the whole one", host)
		}
	}
	c.serverTLS(path, s)
}

// shortName tells whether a hostname is without a domain.
func shortName(name string) bool { return name != "*" && !strings.Contains(name, ".") && !isIP(name) }

// bind checks the address of a listener, and its port with it. A Unix socket has none.
func (c *checker) bind(path, bind string, port uint32) {
	socket, unix := strings.CutPrefix(bind, "unix://")
	switch {
	case unix && !socketPath(socket):
		c.fail(path+".bind", "%q is no socket; use unix:///PATH or unix://@NAME", bind)
	case unix && port != 0:
		c.fail(path+".port.number", "is %d, but a Unix socket has no port; use 0", port)
	case unix:
		c.warn(path+".bind", "is a Unix socket, on which proxies of this version do not listen")
	case bind != "" && !isIP(bind):
		c.fail(path+".bind", "%q is neither an IP address nor unix:///PATH", bind)
	case port == 0:
		c.port(path+".port.number", port)
	}
}

// socketPath tells whether a text is the path of a Unix socket, or the name of an abstract one.
func socketPath(text string) bool {
	return strings.HasPrefix(text, "/") && len(text) > 1 || strings.HasPrefix(text, "@") && len(text) > 1
}

// protocol checks the protocol of a port; without one it is found out.
func (c *checker) protocol(path, protocol string) {
	switch strings.ToUpper(protocol) {
	case "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO", "REDIS", "MYSQL":
	case "":
	default:
		c.fail(path, "%q is no protocol; use one of HTTP, HTTPS, HTTP2, GRPC, TCP, TLS", protocol)
	}
}
