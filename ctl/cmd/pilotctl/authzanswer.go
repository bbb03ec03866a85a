package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// authzAnswer is what becomes of a call, as it is printed.
type authzAnswer struct {
	Allowed bool `json:"allowed"`
	// Decision is the answer in a sentence, and Notes are what it leaves out.
	Decision string   `json:"decision"`
	Rule     string   `json:"rule,omitempty"`
	Asks     string   `json:"asks,omitempty"`
	AskedBy  string   `json:"askedBy,omitempty"`
	Missed   string   `json:"missed,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	// Places are where what is named stands, in the order in which it is.
	Places []authzPlace `json:"places,omitempty"`
}

// authzPlace is where a rule stands, or an object that decides.
type authzPlace struct {
	Object string `json:"object"` // KIND NAMESPACE/NAME
	Field  string `json:"field,omitempty"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
}

func (p authzPlace) String() string {
	out := strings.TrimSpace(p.Object + " " + p.Field)
	if p.File != "" {
		out += fmt.Sprintf(", %s:%d", p.File, p.Line)
	}
	return out
}

// answerFor decides about a call of a workload whose sidecar may not see the Services of what is called; unaware is nil
// where it does.
func (e *authzQuestion) answerFor(to *analyze.Receiver, call *authz.Call, unaware *analyze.Unaware) (authzAnswer, error) {
	if unaware == nil {
		return e.answer(to, call)
	}
	var by []authzPlace
	why := fmt.Sprintf("the sidecar of %s does not see Service %s/%s", e.from, unaware.Service.Namespace, unaware.Service.Name)
	switch {
	case unaware.Service.Name == "":
		why = fmt.Sprintf("no Service leads to port %d, so that the sidecar of %s does not know it", call.Port, e.from)
	case unaware.Sidecar.Name != "":
		by = append(by, placeOf(to, unaware.Sidecar, "spec.egress"))
		why += fmt.Sprintf(", which Sidecar %s/%s leaves out", unaware.Sidecar.Namespace, unaware.Sidecar.Name)
	default:
		by = append(by, placeOf(to, unaware.Service, "metadata.annotations"))
		why += ", whose exportTo leaves it out"
	}
	if !unaware.Passes {
		return authzAnswer{Decision: "refused: " + why + ", and it sends nothing to what it does not know (outboundTrafficPolicy is REGISTRY_ONLY)", Places: by}, nil
	}
	call.Identity = ""
	out, err := e.answer(to, call)
	out.Notes = append(out.Notes, why+": what is sent there arrives in the clear, and shows no certificate")
	out.Places = append(out.Places, by...)
	return out, err
}

// answer decides about a call.
func (e *authzQuestion) answer(to *analyze.Receiver, call *authz.Call) (authzAnswer, error) {
	chain, notes, err := e.chain(to, call)
	var mismatch *authz.Mismatch
	if errors.As(err, &mismatch) {
		why, by := refusalOf(to, mismatch)
		out := authzAnswer{Decision: "refused: " + why}
		if by != nil {
			out.Places = append(out.Places, placeOf(to, by.Key, ""))
		}
		return out, nil
	}
	if err != nil {
		return authzAnswer{}, err
	}
	if call.Request != nil {
		call.Request.Path = authz.Normalize(e.path, authz.Path(chain))
		more, err := believe(chain, call.Request)
		if err != nil {
			return authzAnswer{}, err
		}
		if more.Decision != "" {
			for _, key := range to.TokensBy() {
				more.Places = append(more.Places, placeOf(to, key, ""))
			}
			return more, nil
		}
		notes = append(notes, more.Notes...)
	}
	d := authz.Decide(authz.Filters(chain), *call)
	out := authzAnswer{Allowed: d.Allowed, Decision: d.String(), Rule: d.Rule, Asks: d.Asks, AskedBy: d.AskedBy, Notes: append(notes, d.Notes()...)}
	if d.Missed != nil {
		out.Missed = strings.TrimSpace(d.Missed.Rule + " " + strings.Join(d.Missed.Fields, ", "))
	}
	out.Places = placesOfRules(to, d)
	return out, nil
}

// chain gives the filter chain that takes a call, and what is to be said of how it came there.
func (e *authzQuestion) chain(to *analyze.Receiver, call *authz.Call) (chain *ir.FilterChain, notes []string, err error) {
	if to.Gateway {
		return e.gatewayChain(to, call)
	}
	identity := call.Identity
	chain, err = authz.Chain(to.Listeners[0], call)
	if identity != "" && call.Identity == "" {
		notes = append(notes, plaintext(to, call.Port))
	}
	var mismatch *authz.Mismatch
	if errors.As(err, &mismatch) && mismatch.Kind == authz.TakesNoHTTP {
		notes = append(notes, fmt.Sprintf("port %d takes no HTTP by its name in the Service, so a rule that asks about requests allows nothing, and denies whatever the request", call.Port))
		call.Request = nil
		chain, err = authz.Chain(to.Listeners[0], call)
	}
	return chain, notes, err
}

// plaintext says why a port does not know who calls.
func plaintext(to *analyze.Receiver, port uint32) string {
	why := ""
	if _, by := to.MutualTLS(port); by != nil {
		why = fmt.Sprintf(", as PeerAuthentication %s/%s is DISABLE", by.Namespace, by.Name)
	}
	return fmt.Sprintf("port %d takes no mutual TLS%s: proxies send it plaintext, and it does not know who calls", port, why)
}

// gatewayChain gives that of a gateway, which a client that gives a host names in its handshake.
func (e *authzQuestion) gatewayChain(to *analyze.Receiver, call *authz.Call) (chain *ir.FilterChain, notes []string, err error) {
	asked, request, identity := call.Port, call.Request != nil, call.Identity
	call.Port = to.ArrivesAt(asked)
	call.ServerName, _, _ = strings.Cut(e.host, ":")
	if chain, err = authz.GatewayChain(to.Listeners, call); err != nil {
		return nil, nil, err
	}
	if call.Port != asked {
		notes = append(notes, fmt.Sprintf("port %d of the gateway's Service leads to port %d of the gateway, which rules name", asked, call.Port))
	}
	if identity != "" && call.Identity == "" {
		notes = append(notes, "the gateway's server asks no client for a certificate, so it does not know who calls")
	}
	if request && call.Request == nil {
		notes = append(notes, "the gateway's server forwards bytes and sees no request, so a rule that asks about requests allows nothing, and denies whatever the request")
	}
	return chain, notes, nil
}

// placesOfRules gives where the rules stand that a decision names, each once.
func placesOfRules(to *analyze.Receiver, d authz.Decision) []authzPlace {
	rules := []string{d.AskedBy, d.Rule}
	if d.Missed != nil {
		rules = append(rules, d.Missed.Rule)
	}
	for _, t := range d.Trials {
		rules = append(rules, t.Rule)
	}
	var out []authzPlace
	for _, rule := range append(rules, d.Audited) {
		object, field := explain.RuleOrigin(rule)
		key, ok := resource.SourceKey(object)
		if p := placeOf(to, key, field); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func placeOf(to *analyze.Receiver, key model.Key, field string) authzPlace {
	at := to.Place(key, field)
	return authzPlace{Object: fmt.Sprintf("%s %s/%s", key.Kind, key.Namespace, key.Name), Field: at.Field, File: at.File, Line: at.Line}
}

// believe gives a request the claims that a chain notes of its token. The answer has a decision where that is
// already made, else notes.
func believe(chain *ir.FilterChain, r *authz.Request) (authzAnswer, error) {
	if r.Claims == nil {
		return authzAnswer{}, nil
	}
	tokens := authz.TokensOf(chain)
	if len(tokens) == 0 {
		r.Claims = nil
		return authzAnswer{Notes: []string{"no RequestAuthentication is for the workload, so no claim counts"}}, nil
	}
	r.Claims = tokens.Complete(r.Claims)
	if issuers := tokens.Issuers(); r.Claims["iss"] == nil && len(issuers) > 1 {
		return authzAnswer{}, fmt.Errorf("whose token is it? give one with --claim iss=ISSUER: %s", strings.Join(issuers, ", "))
	}
	var refused *authz.Disbelief
	if err := tokens.Believed(r.Claims); errors.As(err, &refused) {
		return authzAnswer{Decision: fmt.Sprintf("denied: %d: %v", refused.Status, refused)}, nil
	}
	r.Claims = tokens.Noted(r.Claims)
	return authzAnswer{}, nil
}

// refusalOf says why a port does not take a call, and by which object; nil for none.
func refusalOf(to *analyze.Receiver, m *authz.Mismatch) (why string, by *model.Object) {
	if to.Gateway {
		return m.Error(), nil
	}
	if mode, by := to.MutualTLS(m.Port); m.Kind == authz.NeedsMutualTLS && mode == ir.MTLSStrict && by != nil {
		return fmt.Sprintf("%v; PeerAuthentication %s/%s is STRICT", m, by.Namespace, by.Name), by
	}
	return m.Error(), nil
}

// print prints an answer, and gives the exit code of a call that does not pass.
func (a authzAnswer) print(w io.Writer, output string) error {
	var err error
	if output == "short" {
		lines := append([]string{a.Decision}, a.Notes...)
		for _, p := range a.Places {
			lines = append(lines, "  "+p.String())
		}
		_, err = fmt.Fprintln(w, terminal.Lines(strings.Join(lines, "\n")))
	} else {
		err = printDocument(w, proxyconfig.Format(output), a)
	}
	if err == nil && !a.Allowed {
		return &exitError{code: exitUnserved}
	}
	return err
}

// numbered refuses a port that is none; "" is left out.
func numbered(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return usageError(fmt.Errorf("--to: port %q is not between 1 and 65535", port))
	}
	return nil
}

// portOf gives the port of --to, or the only one that the workload has.
func portOf(to *analyze.Receiver, given string) (uint32, error) {
	if n, err := strconv.ParseUint(given, 10, 16); err == nil {
		return uint32(n), nil
	}
	what, ports := "no Service names a port of the workload", authz.GatewayPorts(to.Listeners)
	if !to.Gateway {
		ports = authz.Ports(to.Listeners[0])
	} else {
		what = "no server of a Gateway listens at the gateway"
	}
	switch len(ports) {
	case 0:
		return 0, errors.New("--to: " + what + "; give one, as NAMESPACE/WORKLOAD:PORT")
	case 1:
		return ports[0], nil
	}
	var names []string
	for _, p := range ports {
		names = append(names, strconv.FormatUint(uint64(p), 10))
	}
	return 0, fmt.Errorf("--to: the workload has ports %s; give one, as NAMESPACE/WORKLOAD:PORT", strings.Join(names, ", "))
}
