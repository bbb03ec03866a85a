package analyze

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// sharedCertificates finds Gateways of one workload that present the same certificate. A browser takes a
// connection that it has to one host for another host of its certificate, which the other Gateway serves:
// it gets a 404.
func sharedCertificates(m *mesh) {
	all := of[*networking.Gateway](m, model.KindGateway)
	for i, b := range all {
		for _, a := range all[:i] {
			if !m.sameWorkload(a.spec.GetSelector(), b.spec.GetSelector()) {
				continue
			}
			for k, server := range b.spec.GetServers() {
				for _, other := range a.spec.GetServers() {
					if name := certificateOf(server); name != "" && name == certificateOf(other) && a.Namespace == b.Namespace {
						m.report(b.Object, fmt.Sprintf("spec.servers[%d].tls", k), sharedCertificate, Warning,
							"%s presents the certificate %s to callers of the same workload as well, so clients that use a connection again (HTTP/2) get a 404; put the servers into one Gateway", a.Key, name)
					}
				}
			}
		}
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
