package resolve

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Outbound gives the class without what decides only about what its proxies receive, and without
// their locality, which decides about the order of endpoints only. Classes with equal outbound
// parts send alike.
func (c *Class) Outbound() Class {
	out := *c
	out.Inbound, out.PeerAuthentications, out.Gateways = nil, nil, nil
	out.Interception, out.Network, out.Locality = "", "", model.Locality{}
	out.Key = out.hash()
	return out
}

// nowhere is a namespace that has nothing of its own: no object is in it, none is exported to it
// by name ("~" in an exportTo means nobody), and no name is short for it.
const nowhere = "~"

// Common gives the outbound part of a class as it would be in a namespace that has nothing of its
// own. It has most in common with those of all namespaces: what they send otherwise is about hosts
// that they see otherwise, and where they themselves are matched. Classes with a Sidecar object
// send what that says, so ok is false for them.
func (c *Class) Common() (common Class, ok bool) {
	if c.Sidecar != (model.Key{}) {
		return Class{}, false
	}
	common = c.Outbound()
	common.Namespace, common.DestinationRules, common.SourceLabels = nowhere, nil, nil
	if _, suffix, found := strings.Cut(c.DNSDomain, ".svc."); found {
		common.DNSDomain = nowhere + ".svc." + suffix
	}
	common.Key = common.hash()
	return common, true
}

// ShortNamesOf is the namespace whose services the class knows by names that others do not; ""
// for none.
func (c *Class) ShortNamesOf() string {
	own, _, found := strings.Cut(c.DNSDomain, ".svc.")
	if !found {
		return ""
	}
	own, _, _ = strings.Cut(own, ".")
	return own
}

// Itself stands among the hosts that a unit has read where it looked at the client's own namespace
// or labels.
const Itself = "(client)"

// sawClient tells that the client's own namespace or labels were looked at.
func (s *EgressScope) sawClient() {
	if s.saw != nil {
		s.saw(Itself)
	}
}

// SameLists tells whether two namespaces see the same services and VirtualServices.
func SameLists(r Reader, a, b string) bool {
	return sameList(r.Services(a), r.Services(b)) && sameList(r.VirtualServices(a), r.VirtualServices(b))
}

// sameList tells whether two lists are one. Readers share lists that are equal.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
