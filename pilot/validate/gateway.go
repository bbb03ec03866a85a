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
		c.port(path+".port.number", s.GetPort().GetNumber())
		if s.GetPort().GetName() == "" {
			c.missing(path + ".port.name")
		}
		c.protocol(path+".port.protocol", s.GetPort().GetProtocol())
	}
	if s.GetBind() != "" && !isIP(s.GetBind()) {
		c.fail(path+".bind", "%q is no IP address", s.GetBind())
	}
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
		}
	}
	c.serverTLS(path, s)
}

func (c *checker) protocol(path, protocol string) {
	switch strings.ToUpper(protocol) {
	case "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO", "REDIS", "MYSQL":
	case "":
		c.missing(path)
	default:
		c.fail(path, "%q is no protocol; use one of HTTP, HTTPS, HTTP2, GRPC, TCP, TLS", protocol)
	}
}

func (c *checker) serverTLS(path string, s *networking.Server) {
	protocol := strings.ToUpper(s.GetPort().GetProtocol())
	t := s.GetTls()
	path += ".tls"
	if t == nil {
		if protocol == "HTTPS" || protocol == "TLS" {
			c.fail(path, "is missing, but the port's protocol is %s; set tls.mode and a certificate", protocol)
		}
		return
	}
	plain := protocol == "HTTP" || protocol == "HTTP2" || protocol == "GRPC" || protocol == "GRPC-WEB"
	if t.GetHttpsRedirect() && !plain {
		c.fail(path+".httpsRedirect", "needs a port with the protocol HTTP")
	}
	certificate := t.GetServerCertificate() != "" && t.GetPrivateKey() != "" ||
		t.GetCredentialName() != "" || len(t.GetCredentialNames()) > 0 || len(t.GetTlsCertificates()) > 0
	authority := t.GetCaCertificates() != "" || t.GetCredentialName() != "" ||
		len(t.GetCredentialNames()) > 0 || t.GetCaCertCredentialName() != ""
	if plain {
		if certificate || t.GetMode() != networking.ServerTLSSettings_PASSTHROUGH {
			c.warn(path, "has no effect on a port with the protocol %s; use HTTPS", protocol)
		}
		return
	}
	switch t.GetMode() {
	case networking.ServerTLSSettings_SIMPLE:
		if !certificate {
			c.fail(path, "has no certificate; set credentialName, or serverCertificate and privateKey")
		}
	case networking.ServerTLSSettings_MUTUAL, networking.ServerTLSSettings_OPTIONAL_MUTUAL:
		if !certificate {
			c.fail(path, "has no certificate; set credentialName, or serverCertificate and privateKey")
		}
		if !authority {
			c.fail(path+".caCertificates", "is missing; mode %s checks the client's certificate against it", t.GetMode())
		}
	case networking.ServerTLSSettings_ISTIO_MUTUAL:
		if certificate {
			c.fail(path, "has mode ISTIO_MUTUAL, which uses the mesh's own certificates; remove the others")
		}
	}
	low, high := t.GetMinProtocolVersion(), t.GetMaxProtocolVersion()
	if low != 0 && high != 0 && low > high {
		c.fail(path+".minProtocolVersion", "%v is above maxProtocolVersion %v", low, high)
	}
}
