package validate

import networking "istio.io/api/networking/v1alpha3"

// remoteTLS checks how an agent's Envoy connects to a service that its ProxyConfig names.
func (c *checker) remoteTLS(path string, t *networking.ClientTLSSettings) {
	if t.GetCaCrl() == "" {
		return
	}
	switch {
	case t.GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL:
		c.warn(path+".caCrl", "is not read in mode ISTIO_MUTUAL; the mesh's own list counts for its certificates")
	case t.GetInsecureSkipVerify().GetValue():
		c.warn(path+".caCrl", "is not read beside insecureSkipVerify; leave it out")
	}
}
