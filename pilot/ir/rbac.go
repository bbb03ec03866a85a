package ir

import "net/netip"

// RBAC decides by rules who may pass, as an HTTPFilter on requests and as a NetworkFilter on
// connections.
type RBAC struct {
	Action RBACAction
	// Rules are in force, Shadow are only counted and noted; nil for none, which is not the same as an
	// empty set: an empty set of RBACAllow lets nobody in.
	Rules, Shadow *RBACRules
	// ShadowPrefix stands before the names of what Shadow counts and notes.
	ShadowPrefix string
	// Provider is asked, by the ExtAuthz after it, about what Shadow matches; "" where nobody is.
	Provider string
}

func (*RBAC) httpFilter()    {}
func (*RBAC) networkFilter() {}

// RBACAction is what an RBAC does with what matches one of its rules.
type RBACAction uint8

// The actions, as in envoy.config.rbac.v3.RBAC.Action. What RBACAllow does not match is denied.
const (
	RBACAllow RBACAction = iota
	RBACDeny
	RBACLog
)

// RBACRules are tried in the order of their names, which differ; the first that matches counts.
type RBACRules []RBACRule

// RBACRule matches where one of To and one of From holds.
type RBACRule struct {
	Name     string
	To, From []RBACAlternative
}

// RBACAlternative holds where each of its clauses does; without any it always holds.
type RBACAlternative []RBACClause

// RBACClause holds where one of its conditions does, or, inverted, where none does. Without conditions
// none does.
type RBACClause struct {
	// Field is where it is written in its rule, e.g. from[0].source.principals.
	Field string
	Not   bool
	AnyOf []RBACCondition
}

// RBACCondition is one thing to know of a request or connection: one of the types below.
type RBACCondition interface{ rbacCondition() }

// PeerIdentity matches the URI name of the client's certificate, else its DNS names, else its subject.
type PeerIdentity struct{ Name StringMatch }

// PeerAddress is the address of the connection's other end, ClientAddress that of the client as proxies
// in between tell it, and LocalAddress that which was connected to.
type (
	PeerAddress   struct{ Prefix netip.Prefix }
	ClientAddress struct{ Prefix netip.Prefix }
	LocalAddress  struct{ Prefix netip.Prefix }
)

// LocalPort is the port that was connected to.
type LocalPort struct{ Port uint32 }

// ServerName matches the name in the client's TLS handshake.
type ServerName struct{ Name StringMatch }

// RequestHeader matches a header; one that is missing never matches. Path matches the path without query.
type (
	RequestHeader struct{ HeaderMatch }
	RequestPath   struct{ Path StringMatch }
)

// RequestMetadata matches what a filter has noted of the request, under a path of keys. List tells that
// the value may also be a list of texts, of which one has to match; OnlyList, that it has to be one.
type RequestMetadata struct {
	Filter         string
	Path           []string
	Value          StringMatch
	List, OnlyList bool
}

// Together holds where each of its conditions does.
type Together []RBACCondition

func (PeerIdentity) rbacCondition()    {}
func (PeerAddress) rbacCondition()     {}
func (ClientAddress) rbacCondition()   {}
func (LocalAddress) rbacCondition()    {}
func (LocalPort) rbacCondition()       {}
func (ServerName) rbacCondition()      {}
func (RequestHeader) rbacCondition()   {}
func (RequestPath) rbacCondition()     {}
func (RequestMetadata) rbacCondition() {}
func (Together) rbacCondition()        {}
