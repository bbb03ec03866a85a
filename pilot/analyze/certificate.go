package analyze

import networking "istio.io/api/networking/v1alpha3"

// sharedCertificates finds Gateways of one workload that present the same certificate. A browser takes a
// connection that it has to one host for another host of its certificate, which the other Gateway serves:
// it gets a 404.
func sharedCertificates(m *mesh) {
	earlier := map[[2]string][]neighbour{} // by namespace and certificate
	for _, n := range m.servers() {
		name := certificateOf(n.server)
		if name == "" {
			continue
		}
		at := [2]string{n.gateway.Namespace, name}
		for _, o := range earlier[at] {
			if m.meets(o, n) {
				m.reportPair(n.gateway.Object, o.gateway.Object, n.field+".tls", sharedCertificate, Warning,
					"presents the certificate %s to callers of the same workload as well, so clients that use a connection again (HTTP/2) get a 404; put the servers into one Gateway", name)
			}
		}
		earlier[at] = append(earlier[at], n)
	}
}

// certificateOf names the certificate that a server presents; "" for none.
func certificateOf(s *networking.Server) string {
	tls := s.GetTls()
	if tls.GetCredentialName() != "" {
		return tls.GetCredentialName()
	}
	return tls.GetServerCertificate()
}
