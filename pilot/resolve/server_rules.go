package resolve

import networking "istio.io/api/networking/v1alpha3"

// Rules are those of VirtualServices that a Gateway's server goes by; none where it finds its way by itself.
type Rules struct{ HTTP, TLS, TCP bool }

// RulesOf gives the rules that a Gateway's server goes by, ok false for a protocol that no gateway has.
func RulesOf(server *networking.Server) (_ Rules, ok bool) {
	serves, ok := serviceOf(server)
	switch serves {
	case servesHTTP, servesHTTPS:
		return Rules{HTTP: ok}, ok
	case servesTLS, servesTCP:
		return Rules{TCP: ok}, ok
	case passesTLS:
		return Rules{TLS: ok}, ok
	}
	return Rules{}, ok
}

// Offers tells whether a server of a Gateway of a namespace has a host for the VirtualServices of another one.
func Offers(server *networking.Server, gateway, namespace, host string) bool {
	for _, entry := range server.GetHosts() {
		if newHostIn(gateway, entry).shared(namespace, host) != "" {
			return true
		}
	}
	return false
}
