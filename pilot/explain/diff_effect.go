package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// said is all of an answer that counts, for comparing: the outcome, and what the clusters are that a request goes to.
func (a *Answer) said() string {
	text, err := json.Marshal(&a.Outcome)
	if err != nil {
		return err.Error() // it has no value that JSON lacks
	}
	out := string(text)
	for _, s := range a.Steps {
		if s.Stage == StageCluster {
			out += s.Name + s.Text + strings.Join(s.Details, ",")
		}
	}
	return out
}

// brief says in few words what becomes of a request.
func (a *Answer) brief() string {
	o := &a.Outcome
	switch {
	case o.Closed && strings.HasPrefix(o.Reason, denied):
		return "closed: " + a.decidedBy()
	case o.Closed:
		return "the connection ends" + inParentheses(cmp.Or(o.lacking(), o.Flags))
	case o.Status == 403 && strings.HasPrefix(o.Reason, denied):
		return "403: " + a.decidedBy()
	case o.Status != 0 && o.Location != "":
		return fmt.Sprintf("%d to %s", o.Status, o.Location)
	case o.Status != 0 && o.Refused && o.Flags == "":
		return fmt.Sprintf("%d: %s", o.Status, o.Reason)
	case o.Status != 0:
		return fmt.Sprintf("%d%s", o.Status, inParentheses(o.Flags))
	case o.Forward == nil:
		return o.String()
	}
	var parts []string
	for _, c := range o.Forward.Clusters {
		part := shortCluster(c.Name)
		if len(o.Forward.Clusters) > 1 {
			part = fmt.Sprintf("%g %% %s", c.Percent, part)
		}
		if c.Reason != "" {
			part += inParentheses("503 " + c.Flags)
		}
		parts = append(parts, part)
	}
	out := strings.Join(parts, ", ")
	if o.Refused {
		out = "no server of " + out
	}
	return out
}

// lacking says in few words what a closed connection would need; "" where it comes to nothing that takes it.
func (o *Outcome) lacking() string {
	if strings.Contains(o.Reason, doubleTLS) {
		return "double TLS"
	}
	_, needed, ok := strings.Cut(o.Reason, " needs ")
	if !ok {
		return ""
	}
	needed, _, _ = strings.Cut(needed, " (")
	needed, _, _ = strings.Cut(needed, ": ")
	return "needs " + needed
}

// untaken tells of a connection that ends for what the client is, or since nothing takes it. Neither is for anybody to
// mend, and the client sees no more than the end.
func (a *Answer) untaken() bool {
	o := &a.Outcome
	lacking := o.lacking()
	return o.Closed && !strings.HasPrefix(o.Reason, denied) && (lacking == "" || lacking == "needs "+noCertificate)
}

// unanswered says in few words what becomes of requests to a host that nothing is known of any more.
func (a *Answer) unanswered() string {
	if a.Outcome.Refused {
		return "no longer answered, " + a.brief()
	}
	return a.brief()
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// decidedBy names the rule that denies.
func (a *Answer) decidedBy() string {
	if _, by, ok := strings.Cut(a.Outcome.Reason, ", by "); ok {
		return "denied by " + strings.TrimPrefix(by, "authorization-policy ")
	}
	return "denied, as no ALLOW policy matches"
}

// shortCluster says the name of a cluster as users do: the host, its port and the subset.
func shortCluster(name string) string {
	switch name {
	case blackHole:
		return "nowhere, as it is not known (REGISTRY_ONLY)"
	case "PassthroughCluster", "InboundPassthroughCluster":
		return asSent
	}
	parts := strings.Split(name, "|") // DIRECTION|PORT|SUBSET|HOST
	switch {
	case len(parts) != 4:
		return name
	case parts[0] == "inbound" && parts[3] == "":
		return "the workload's port " + parts[1]
	}
	out := shortHost(parts[3]) + ":" + parts[1]
	if parts[2] != "" {
		out += " " + parts[2]
	}
	return out
}

// differences says what becomes otherwise of a request: where it ends, else all that is different on the way.
func (f *focus) differences(r *Request, a, b *Answer) []Difference {
	if a.untaken() && b.untaken() {
		return nil
	}
	x, y := f.before.facets(r, a), f.after.facets(r, b)
	var out []Difference
	for _, what := range facetNames {
		if x[what] != y[what] && (what == "" || bothHave(a, b, what)) {
			out = append(out, Difference{what, x[what], y[what]})
		}
	}
	if len(out) == 1 && out[0].What == protocolFacet && a.brief() == asSent {
		return nil // it goes where it went, to a server that is spoken to as the client speaks
	}
	for i := range out {
		if out[i].What == endpointsFacet {
			out[i].Before, out[i].After = narrowed(out[i].Before, out[i].After)
		}
	}
	return out
}

// bothHave tells whether something is worth saying of answers that are different: where one is no forwarding, that is
// all there is to say.
func bothHave(a, b *Answer, what string) bool {
	forwards := a.Outcome.Forward != nil && b.Outcome.Forward != nil
	if !forwards || a.brief() == b.brief() {
		return forwards || a.brief() == b.brief()
	}
	plain := a.Outcome.Forward.Path == "" || b.Outcome.Forward.Path == "" // one is no request of HTTP
	return !slices.Contains(clusterFacets, what) && (!plain || !slices.Contains(httpFacets, what))
}

const endpointsFacet, protocolFacet = "servers", "protocol"

// asSent is said of a request that no service is known for.
const asSent = "where it was sent"

// The things that are told of an answer, in this order. Those of a cluster are told where both go to the same.
var (
	clusterFacets = []string{endpointsFacet, protocolFacet, "TLS", "PROXY protocol", "balancing", "limits", "ejection", "connect timeout"}
	httpFacets    = []string{"path", "host", "timeout", "retries", "request headers", "response headers"}
	facetNames    = append([]string{
		"", "body", "delay", "abort", "in part", "path", "host", "timeout", "retries", "copies", "request headers", "response headers", "tunnel",
	}, clusterFacets...)
)

// facets gives what is told of an answer to a request, by name.
func (c *Config) facets(r *Request, a *Answer) map[string]string {
	o := &a.Outcome
	out := map[string]string{"": a.brief(), "body": o.Body}
	if o.Forward.refusals() { // all else that ends in part stands in the brief text
		out["in part"] = o.Partly
	}
	if o.Delay != nil {
		out["delay"] = fmt.Sprintf("%s for %g %%", o.Delay.Duration, o.Delay.Percent)
	}
	if o.Abort != nil && o.Abort.Percent < 100 {
		out["abort"] = fmt.Sprintf("%d for %g %%", o.Abort.Status, o.Abort.Percent)
	}
	f := o.Forward
	if f == nil {
		return out
	}
	out["path"], out["host"], out["tunnel"] = f.Path, shortHost(f.Host), f.Tunnel
	if f.Path == "" && r.Protocol != TCP { // bytes that nobody looks into
		out["path"], out["host"] = r.Path, shortHost(r.Host)
	}
	if f.Timeout > 0 {
		out["timeout"] = f.Timeout.String()
	}
	if f.Retry != nil {
		out["retries"] = fmt.Sprintf("%d on %s", f.Retry.Attempts, f.Retry.On)
		if f.Retry.PerTryTimeout > 0 {
			out["retries"] += fmt.Sprintf(", each within %s", f.Retry.PerTryTimeout)
		}
		if len(f.Retry.StatusCodes) > 0 {
			out["retries"] += fmt.Sprintf(" %v", f.Retry.StatusCodes)
		}
	}
	for _, m := range f.Mirrors {
		out["copies"] += fmt.Sprintf("%g %% to %s ", m.Percent, shortCluster(m.Cluster))
	}
	out["request headers"], out["response headers"] = headerWords(f.RequestHeaders), headerWords(f.ResponseHeaders)
	for _, to := range f.Clusters {
		out["request headers"] += headerWords(to.RequestHeaders)
		out["response headers"] += headerWords(to.ResponseHeaders)
		c.clusterFacets(out, f, &to)
	}
	for name, text := range out {
		out[name] = strings.TrimSpace(text)
	}
	return out
}

// refusals tells whether a server does not let the request in.
func (f *Forward) refusals() bool {
	return f != nil && slices.ContainsFunc(f.Clusters, func(c Cluster) bool {
		return slices.ContainsFunc(c.Endpoints, func(e Endpoint) bool { return e.Refusal != "" })
	})
}

func headerWords(all []HeaderChange) string {
	var out []string
	for _, h := range told(all) {
		out = append(out, h.String())
	}
	return strings.Join(out, ", ")
}

// clusterFacets adds what is told of a cluster that a request goes to.
func (c *Config) clusterFacets(out map[string]string, f *Forward, to *Cluster) {
	add := func(what, text string) {
		if text != "" && !strings.Contains(out[what], text) {
			out[what] = strings.TrimPrefix(out[what]+"; "+text, "; ")
		}
	}
	add(protocolFacet, to.Protocol)
	for _, e := range to.Endpoints {
		words := e
		words.TLS, words.SNI, words.Proxy = "none", "", ""
		add(endpointsFacet, strings.TrimSuffix(describeEndpoint(words), ", in the clear"))
		tls := e.TLS
		if e.SNI != "" && e.TLS == "simple" {
			tls += " to " + e.SNI
		}
		add("TLS", tls)
		add("PROXY protocol", e.Proxy)
	}
	m := c.Clusters[to.Name]
	if m == nil {
		return
	}
	add("balancing", balancing(m, f))
	for _, line := range limits(m, to.Protocol != string(TCP)) {
		if ejects, ok := strings.CutPrefix(line, "ejects servers that fail: "); ok {
			add("ejection", ejects)
			continue
		}
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "limits: "), ";")
		add("limits", line)
	}
	if t := m.GetConnectTimeout(); t != nil {
		add("connect timeout", t.AsDuration().String())
	}
}

// balancing says how a cluster chooses among its servers.
func balancing(m *clusterv3.Cluster, f *Forward) string {
	out := strings.ToLower(strings.ReplaceAll(m.GetLbPolicy().String(), "_", " "))
	if m.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil {
		out += ", by weights of localities"
	}
	if hashes(m) && len(f.Hash) > 0 {
		out += " " + strings.Join(f.Hash, " and ")
	}
	for _, p := range m.GetLoadBalancingPolicy().GetPolicies() {
		out += " " + p.GetTypedExtensionConfig().GetName()
	}
	return out
}

// serversShown is how many of a list of servers are named.
const serversShown = 2

// narrowed says of two lists of servers how many there are, and which of them are not in the other.
func narrowed(before, after string) (string, string) {
	a, b := listed(before), listed(after)
	words := func(own, other []string) string {
		fresh := slices.DeleteFunc(slices.Clone(own), func(s string) bool { return slices.Contains(other, s) })
		out := fmt.Sprint(len(own))
		if len(fresh) > serversShown {
			return fmt.Sprintf("%s (%s and %d more)", out, strings.Join(fresh[:serversShown], "; "), len(fresh)-serversShown)
		}
		return out + inParentheses(strings.Join(fresh, "; "))
	}
	return words(a, b), words(b, a)
}

func listed(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "; ")
}
