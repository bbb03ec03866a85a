package resolve

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Services of type ExternalName are aliases, as Istio has them since 1.21 (ENABLE_EXTERNAL_NAME_ALIAS): they have
// neither clusters nor listeners, their ports and the rules of their host count for nothing. What is for an alias is
// treated as what is for the service that it stands for, be it asked for by a client or named by a route. One that
// stands for a host which no service has means nothing to proxies; DNS leads clients there.

// aliases gives the hosts that stand for a service's, also by way of others, the nearest first. A host that is a
// service's is none.
func aliases(r Reader, client, host string) []string {
	var out []string
	for next := []string{host}; len(next) > 0; next = next[1:] {
		for _, alias := range r.Aliases(client, next[0]) {
			if alias != host && !slices.Contains(out, alias) && r.Service(client, alias) == nil {
				out, next = append(out, alias), append(next, alias)
			}
		}
	}
	return out
}

// concrete gives the host of the service that an alias stands for, or the host itself where it is no alias, or one of
// no service.
func concrete(r Reader, client, host string) string {
	seen := []string{host}
	for at := host; r.Service(client, at) == nil; {
		if at = r.AliasTarget(client, at); at == "" || slices.Contains(seen, at) {
			return host
		}
		seen = append(seen, at)
		if r.Service(client, at) != nil {
			return at
		}
	}
	return host
}

// aliasDomains gives the names under which clients of the class know the aliases of a service.
func (v *view) aliasDomains(svc *model.Service) []string {
	var out []string
	for _, alias := range aliases(v.r, v.c.Namespace, svc.Hostname) {
		out = append(append(out, alias), v.shortNames(alias)...)
	}
	return out
}
