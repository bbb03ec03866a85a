package explain

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	exthttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	extnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// denied is the body of Envoy's answer to a request that a policy denies.
const denied = "RBAC: access denied"

// oneIdentity is the filter that refuses certificates of several identities, which no workload has.
const oneIdentity = "one_identity"

// authorizeRequest passes a filter of requests that asks policies; known is false for other filters.
func (x *exchange) authorizeRequest(name string, packed *anypb.Any) (on, known bool) {
	asks := &exthttp.ExtAuthz{}
	if packed.MessageIs(asks) && packed.UnmarshalTo(asks) == nil {
		// The rules before one of a policy have told whether the provider is asked; any other is always asked.
		return true, asks.GetFilterEnabledMetadata() != nil
	}
	m := &rbachttp.RBAC{}
	if !packed.MessageIs(m) || packed.UnmarshalTo(m) != nil {
		return true, false
	}
	return x.enforce(name, m, authz.Call{
		Client: x.clientAddress(),
		Request: &authz.Request{
			Method: x.request.method(), Host: authz.NormalizeHost(x.host), Path: x.path, Headers: x.headers, Claims: x.valid,
		},
	}), true
}

// authorizeConnection passes a filter of connections that asks policies; known is false for other filters.
func (w *walk) authorizeConnection(name string, packed *anypb.Any) (on, known bool) {
	asks := &extnet.ExtAuthz{}
	if packed.MessageIs(asks) && packed.UnmarshalTo(asks) == nil {
		return true, asks.GetFilterEnabledMetadata() != nil
	}
	if name == oneIdentity {
		return true, true
	}
	m := &rbacnet.RBAC{}
	if !packed.MessageIs(m) || packed.UnmarshalTo(m) != nil {
		return true, false
	}
	return w.enforce(name, m, authz.Call{Client: w.request.Source}), true
}

// enforce asks the rules of one filter about a call, and tells whether it goes on.
func (w *walk) enforce(name string, m authz.Enforcement, call authz.Call) (on bool) {
	rules, err := authz.Read(m)
	if err != nil {
		w.step(StageFilter, name, fmt.Sprintf("has rules that are not known here (%v); it may change what follows", err), nil)
		return true
	}
	to := w.request.Destination
	call.Identity, call.Peer, call.Local, call.Port = w.identity, w.request.Source, to.Addr(), uint32(to.Port())
	call.ServerName = w.serverName
	d := authz.Decide([]*ir.RBAC{rules}, call)
	for _, t := range d.Trials {
		verb := map[bool]string{true: "would allow", false: "would deny"}[t.Allowed]
		w.policy(t.Rule, fmt.Sprintf("on trial (dry run), %s %s", verb, w.calling(call)))
	}
	switch {
	case d.Asks != "" && !w.unasked:
		w.policy(d.AskedBy, fmt.Sprintf("asks provider %s about %s, which passes if that allows it", d.Asks, w.calling(call)))
	case d.Audited != "":
		w.policy(d.Audited, "audits "+w.calling(call))
	}
	switch {
	case d.Allowed && d.Rule != "":
		w.policy(d.Rule, "allows "+w.calling(call))
	case !d.Allowed:
		w.deny(d, call)
	}
	return d.Allowed
}

// deny ends the walk by a policy.
func (w *walk) deny(d authz.Decision, call authz.Call) {
	why := denied + ", by " + ruleName(d.Rule)
	if d.Rule == "" {
		why = denied + ", as no ALLOW policy matches"
	}
	var details []string
	if d.Missed != nil {
		p := rulePart(d.Missed.Rule)
		line := "of the rules that allow the nearest is " + (&Step{Object: p.Object, Place: w.place(p)}).origin()
		if len(d.Missed.Fields) > 0 {
			line += ", which wants " + strings.Join(d.Missed.Fields, ", and ")
		}
		details = append(details, line)
	}
	answer := ": the connection is closed"
	if call.Request == nil {
		w.closed("", why)
	} else {
		w.refused(http.StatusForbidden, "", why)
		w.answer.Outcome.Body = denied
		answer = ": 403 " + denied
	}
	if d.Rule == "" {
		answer += ", as no ALLOW policy matches"
	}
	if found := ruleForm.FindStringSubmatch(d.Rule); found != nil && refusedForm.MatchString(found[2]) {
		details = append(details, "the control plane refused the object, and until it is mended denies what it may be about")
	}
	w.policy(d.Rule, "denies "+w.calling(call)+answer, details...)
}

// policy adds the step of a rule; "" for none.
func (w *walk) policy(rule, text string, details ...string) {
	w.stepOf(StagePolicy, "", text, rulePart(rule), details...)
}

// calling names a call and who makes it.
func (w *walk) calling(call authz.Call) string {
	what := "the connection"
	if r := call.Request; r != nil {
		what = r.Method + " " + r.Path
	}
	switch {
	case strings.HasSuffix(call.Identity, "/"+unnamed):
		return what + " of a client with a certificate of the mesh"
	case call.Identity != "":
		return what + " of " + strings.TrimPrefix(call.Identity, "spiffe://")
	case w.request.Way == Direct && call.Client.IsValid():
		return what + " of client " + call.Client.String()
	case w.request.Way == Direct:
		return what + " of a client"
	}
	return what + " of a client without a certificate of the mesh"
}

// ruleForm is how the control plane names the rules of policies, as Istio's does.
var ruleForm = regexp.MustCompile(`^(?:istio-ext-authz-.*-)?ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$`)

// refusedForm is the name of what denies in the place of an object that the control plane refused.
var refusedForm = regexp.MustCompile(`^refused:([A-Za-z]+):(.*)$`)

// rulePart is the part of a policy that a rule's name tells.
func rulePart(rule string) Part {
	found := ruleForm.FindStringSubmatch(rule)
	if found == nil {
		return Part{}
	}
	kind, name, field := "AuthorizationPolicy", found[2], "spec.rules["+found[3]+"]"
	if r := refusedForm.FindStringSubmatch(name); r != nil {
		kind, name, field = r[1], r[2], ""
	}
	return Part{Object: ObjectPath("security.istio.io/v1", kind, found[1], name), Field: field}
}

// ruleName names a rule in a sentence.
func ruleName(rule string) string {
	p := rulePart(rule)
	if p.Object == "" {
		return rule
	}
	return strings.TrimSpace((&Step{Object: p.Object}).origin() + " " + p.Field)
}

// ObjectPath names an object of a group and version as resources name those that they come from.
func ObjectPath(group, kind, namespace, name string) string {
	return "/apis/" + group + "/namespaces/" + namespace + "/" + kebab(kind) + "/" + name
}

// kebab gives a kind in small letters, with a hyphen before each of its capitals but the first.
func kebab(kind string) string {
	var out strings.Builder
	for i, c := range kind {
		if i > 0 && c >= 'A' && c <= 'Z' {
			out.WriteByte('-')
		}
		out.WriteRune(c)
	}
	return strings.ToLower(out.String())
}

// askedBy is the part of an object that asks for something that the resources do not tell; empty where nobody knows.
func (c *Config) askedBy(by func(string) string, of string) Part {
	if by == nil {
		return Part{}
	}
	return Part{Object: by(of)}
}

// clientAddress is that of the client as the proxies before this one tell it: the number of them that are trusted
// counts from the right of x-forwarded-for, to which one that goes by remote addresses adds who connects.
func (x *exchange) clientAddress() netip.Addr {
	var hops []string
	for hop := range strings.SplitSeq(x.headers["x-forwarded-for"], ",") {
		if hop = strings.TrimSpace(hop); hop != "" {
			hops = append(hops, hop)
		}
	}
	if x.request.hidden {
		hops = append(hops, "")
	}
	trusted := int(x.manager.GetXffNumTrustedHops())
	at := len(hops) - 1 - trusted
	if x.manager.GetUseRemoteAddress().GetValue() {
		if trusted == 0 {
			return x.request.Source
		}
		at = len(hops) - trusted
	}
	if at >= 0 && at < len(hops) {
		if hops[at] == "" {
			return netip.Addr{}
		}
		if ip, err := netip.ParseAddr(hops[at]); err == nil {
			return ip
		}
	}
	return x.request.Source
}
