package analyze

import networking "istio.io/api/networking/v1alpha3"

// sharedCertificates finds Gateways of one workload that present the same certificate. A browser takes a
// connection that it has to one host for another host of its certificate, which the other Gateway serves:
// it gets a 404.
func sharedCertificates(m *mesh) {
	type presented struct {
		namespace, name string
		selection       int
	}
	all, earlier := m.servers(), crowd[presented, neighbour]{}
	for _, n := range all.servers {
		name := certificateOf(n.server)
		if name == "" {
			continue
		}
		var sides []presented
		for _, id := range all.meet(n.selection) {
			sides = append(sides, presented{n.gateway.Namespace, name, id})
		}
		if others := earlier.before(n.at, sides...); len(others) > 0 {
			m.reportPairs(n.gateway.Object, gateways(others), n.field+".tls", sharedCertificate, Warning,
				"presents the certificate %s to callers of the same workload as well, so clients that use a connection again (HTTP/2) get a 404; put the servers into one Gateway", name)
		}
		earlier.join(n.at, n, sides[0])
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
