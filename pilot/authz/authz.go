// Package authz tells, without any proxy, who may call a workload. It evaluates the rules that resolve
// made of AuthorizationPolicies as Envoy would. It says which policy decides, or which part of the
// nearest rule did not match. It is beside the flow; `pilotctl authz` and tests ask it.
package authz

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// Call is a connection, or a request on one.
type Call struct {
	// Identity is the URI in the client's certificate, "" for a client without one.
	Identity string
	// Peer is the address of the connection's other end, Client that of the client behind proxies, and
	// Local, with Port, what was connected to.
	Peer, Client, Local netip.Addr
	Port                uint32
	ServerName          string // in the TLS handshake
	// Request is nil for a connection.
	Request *Request
}

// Request is a request of HTTP as filters see it: its path is normalized.
type Request struct {
	Method, Host, Path string
	// Headers by lower-case name; several of a name are joined by commas.
	Headers map[string]string
	// Claims are those of the valid token, nil without one: texts, lists of texts and maps.
	Claims map[string]any
}

// Decision is what becomes of a call.
type Decision struct {
	Allowed bool
	// Rule decided: the one that denies or allows; "" where no policy asks, or none allows.
	Rule string
	// Asks is the provider of external authorization that has to let the call pass as well, "" for none,
	// and AskedBy the rule of a CUSTOM policy that says so.
	Asks, AskedBy string
	// Missed is, of the rules that would have allowed, what did not hold of the nearest one.
	Missed *Miss
	// Trials are of the policies on trial, which decide nothing, and Audited is the rule of an AUDIT policy that
	// matches. What a request that is denied before does not come to says nothing.
	Trials  []Trial
	Audited string
}

// Miss is a rule that did not hold.
type Miss struct {
	Rule   string
	Fields []string // of the clauses that did not hold, as in RBACClause.Field
}

// String says a decision in a sentence.
func (d Decision) String() string {
	if d.Asks != "" {
		asks := "asks provider " + d.Asks + ", by " + d.AskedBy
		d.Asks = ""
		return asks + "; if it allows: " + d.String()
	}
	switch {
	case d.Allowed && d.Rule == "":
		return "allowed: no ALLOW policy is for the workload, and no other denies"
	case d.Allowed:
		return "allowed: by " + d.Rule
	case d.Rule != "":
		return "denied: by " + d.Rule
	case d.Missed == nil || len(d.Missed.Fields) == 0:
		return "denied: no ALLOW policy matched"
	}
	return "denied: no ALLOW policy matched; of the nearest rule " + d.Missed.Rule + " did not: " + strings.Join(d.Missed.Fields, ", ")
}

// Decide asks the filters in their order, as requests and connections do. Rules on trial decide nothing,
// and are told. What a provider would answer is not known: the rest is decided as if it let the call pass.
func Decide(filters []*ir.RBAC, call Call) Decision {
	out := Decision{Allowed: true}
	for _, f := range filters {
		if f.Provider != "" && f.Shadow != nil {
			if rule, _ := first(*f.Shadow, &call); rule != "" {
				out.Asks, out.AskedBy = f.Provider, rule
			}
		}
		if t := try(f, &call); t != nil {
			out.Trials = append(out.Trials, *t)
		}
		if f.Rules == nil {
			continue
		}
		rule, miss := first(*f.Rules, &call)
		switch {
		case f.Action == ir.RBACDeny && rule != "":
			out.Allowed, out.Rule = false, rule
			return out
		case f.Action == ir.RBACAllow && rule == "":
			out.Allowed, out.Rule, out.Missed = false, "", miss
			return out
		case f.Action == ir.RBACAllow:
			out.Rule = rule
		case f.Action == ir.RBACLog:
			out.Audited = rule
		}
	}
	return out
}

// first gives the first rule that matches, else the nearest: one that names the caller before others, and of these one of
// which the fewest clauses do not hold, and rather about who calls than about what is asked for.
func first(rules ir.RBACRules, call *Call) (rule string, _ *Miss) {
	var nearest *Miss
	best := 0
	for _, r := range rules {
		to, from := nearestOf(r.To, call), nearestOf(r.From, call)
		if to.holds && from.holds {
			return r.Name, nil
		}
		far := 2 * (to.missed + from.missed)
		if !to.holds {
			far++
		}
		if !from.holds || !from.named {
			far += stranger
		}
		if nearest == nil || far < best {
			best, nearest = far, &Miss{Rule: r.Name, Fields: append(from.fields, to.fields...)}
		}
	}
	return "", nearest
}

// stranger is how far a rule is that does not name the caller: farther than any clauses take one that does.
const stranger = 1 << 16

// nearness is how near the nearest of alternatives is.
type nearness struct {
	holds  bool
	named  bool     // it holds, and wants something that is so, not only something that is not
	missed int      // clauses that do not hold
	fields []string // of these
}

func nearestOf(alternatives []ir.RBACAlternative, call *Call) nearness {
	out := nearness{missed: 1} // nothing is meant
	for i, a := range alternatives {
		n := nearness{}
		for _, c := range a {
			if holds(c, call) {
				n.named = n.named || !c.Not
				continue
			}
			n.missed++
			if c.Field != "" {
				n.fields = append(n.fields, c.Field)
			}
		}
		n.holds = n.missed == 0
		if i == 0 || n.missed < out.missed || n.holds && n.named && !out.named {
			out = n
		}
	}
	return out
}

func holds(c ir.RBACClause, call *Call) bool {
	return slices.ContainsFunc(c.AnyOf, func(k ir.RBACCondition) bool { return call.is(k) }) != c.Not
}

// is tells whether a condition holds.
func (c *Call) is(condition ir.RBACCondition) bool {
	switch k := condition.(type) {
	case ir.Together:
		return !slices.ContainsFunc(k, func(k ir.RBACCondition) bool { return !c.is(k) })
	case ir.PeerIdentity:
		return c.Identity != "" && matches(k.Name, c.Identity)
	case ir.PeerAddress:
		return within(k.Prefix, c.Peer)
	case ir.ClientAddress:
		return within(k.Prefix, c.Client)
	case ir.LocalAddress:
		return within(k.Prefix, c.Local)
	case ir.LocalPort:
		return k.Port == c.Port
	case ir.ServerName:
		return matches(k.Name, c.ServerName)
	}
	return c.Request != nil && c.Request.is(condition)
}

func (r *Request) is(condition ir.RBACCondition) bool {
	switch k := condition.(type) {
	case ir.RequestHeader:
		v, ok := r.header(k.Name)
		return ok && (k.Value.Kind == ir.MatchPresent || matches(k.Value, v))
	case ir.RequestPath:
		path, _, _ := strings.Cut(r.Path, "?")
		return matches(k.Path, path)
	case ir.RequestMetadata:
		return r.noted(k)
	}
	return false
}

func (r *Request) header(name string) (string, bool) {
	switch name = strings.ToLower(name); name {
	case ":authority", "host":
		return r.Host, r.Host != ""
	case ":method":
		return r.Method, true
	case ":path":
		return r.Path, true
	}
	v, ok := r.Headers[name]
	return v, ok
}

// noted looks at the claims of the token; what other filters note is known to Envoy only.
func (r *Request) noted(k ir.RequestMetadata) bool {
	if k.Filter != httpfilter.JWT || len(k.Path) < 2 || r.Claims == nil {
		return false
	}
	var value any = r.Claims
	for _, name := range k.Path[1:] {
		object, ok := value.(map[string]any)
		if !ok {
			return false
		}
		value = object[name]
	}
	switch v := value.(type) {
	case string:
		return !k.OnlyList && matches(k.Value, v)
	case []any:
		return (k.List || k.OnlyList) && slices.ContainsFunc(v, func(item any) bool {
			text, ok := item.(string)
			return ok && matches(k.Value, text)
		})
	}
	return false
}

func within(p netip.Prefix, a netip.Addr) bool { return a.IsValid() && p.Contains(a.Unmap()) }

// matches is Envoy's StringMatcher; presence is any text's.
func matches(m ir.StringMatch, v string) bool { return pattern(m).Match(v) }

// NormalizeHost does so to a host: a final dot, which stands for the root of names, is removed.
func NormalizeHost(host string) string {
	name, port, ok := strings.Cut(host, ":")
	if name = strings.TrimSuffix(name, "."); ok {
		return name + ":" + port
	}
	return name
}

// Normalize does to a path what a connection manager does before its filters see it.
func Normalize(path string, n ir.PathNormalization) string {
	path, query, asked := strings.Cut(path, "?")
	// A client that is redirected asks for the path with slashes.
	if n.EscapedSlashes == ir.SlashesUnescaped || n.EscapedSlashes == ir.SlashesRedirected {
		path = escapedSlash.ReplaceAllStringFunc(path, func(s string) string {
			return map[bool]string{true: "/", false: `\`}[strings.EqualFold(s, "%2f")]
		})
	}
	if n.Normalize {
		path = removeDots(strings.ReplaceAll(unreserved(path), `\`, "/"))
	}
	if n.MergeSlashes {
		path = slashes.ReplaceAllString(path, "/")
	}
	if asked {
		path += "?" + query
	}
	return path
}

var (
	escapedSlash = regexp.MustCompile(`(?i)%2f|%5c`)
	slashes      = regexp.MustCompile(`/+`)
	escaped      = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

// unreserved decodes the characters that need no escape (RFC 3986, section 2.3).
func unreserved(path string) string {
	return escaped.ReplaceAllStringFunc(path, func(s string) string {
		n, _ := strconv.ParseUint(s[1:], 16, 8) // the expression has let hexadecimal digits through only
		c := byte(n)
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			return string(c)
		}
		return s
	})
}

// removeDots resolves the segments "." and ".." (RFC 3986, section 5.2.4).
func removeDots(path string) string {
	var out []string
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch p {
		case ".", "..":
			if p == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, p)
		}
	}
	return "/" + strings.Join(out, "/")
}
