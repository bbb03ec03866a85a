package resolve

import (
	"fmt"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Services of type ExternalName are aliases, as Istio has them since 1.21 (ENABLE_EXTERNAL_NAME_ALIAS): they have
// neither clusters nor listeners, their ports and the rules of their host count for nothing. What is for an alias is
// treated as what is for the service that it stands for, be it asked for by a client or named by a route. One that
// stands for a host which no service has means nothing to proxies; DNS leads clients there.

// aliasHops is how many aliases may stand for one another before the service. One that is further away means nothing,
// so that no chain makes each look at one of its hosts as long as itself.
const aliasHops = 16

// aliases gives the hosts that stand for a service's, also by way of others, the nearest first. A host that is a
// service's is none.
func aliases(r Reader, client, host string) []string {
	out, _ := aliasLevels(r, client, host)
	return out
}

// aliasLevels gives them, and those of them that are so far away that what stands for them means nothing.
func aliasLevels(r Reader, client, host string) (out, last []string) {
	seen := map[string]bool{host: true}
	level := []string{host}
	for hop := 0; hop < aliasHops && len(level) > 0; hop++ {
		var next []string
		for _, at := range level {
			for _, alias := range r.Aliases(client, at) {
				if !seen[alias] && r.Service(client, alias) == nil {
					seen[alias], next = true, append(next, alias)
				}
			}
		}
		out, level = append(out, next...), next
	}
	return out, level
}

// tooFar reports the aliases of a service that are too far away to mean anything. Of a chain that is the first; the
// others lead to it.
func tooFar(r Reader, client, host string) []model.Problem {
	_, last := aliasLevels(r, client, host)
	var out []model.Problem
	for _, at := range last {
		for _, o := range r.AliasObjects(client, at) {
			out = append(out, o.ErrorAt("spec.externalName", model.ReasonNotTranslated,
				fmt.Sprintf("%s stands for %s by way of more than %d others, so it means nothing to proxies; name a nearer one", o.Name, host, aliasHops-1)))
		}
	}
	return out
}

// concrete gives the host of the service that an alias stands for, or the host itself where it is no alias, or one of
// no service.
func concrete(r Reader, client, host string) string {
	if r.Service(client, host) != nil {
		return host
	}
	at := host
	for range aliasHops {
		if at = r.AliasTarget(client, at); at == "" {
			return host
		}
		if r.Service(client, at) != nil {
			return at
		}
	}
	return host
}

// aliases gives those of a service's aliases that its Sidecar lets a class see.
func (s *scope) aliases(r Reader, c *Class, of model.ServiceID) []string {
	out := aliases(r, c.Namespace, of.Hostname)
	if len(out) == 0 {
		return nil
	}
	if r.Note(factEgress); s.egress == nil {
		return out
	}
	return slices.DeleteFunc(out, func(alias string) bool { return !s.egress.allowAlias(of, alias) })
}

// aliasDomains gives the names under which clients of the class know the aliases of a service.
func (v *view) aliasDomains(svc *model.Service) []string {
	var out []string
	for _, alias := range v.scope.aliases(v.r, v.c, svc.ID()) {
		out = append(append(out, alias), v.shortNames(alias)...)
	}
	return out
}
