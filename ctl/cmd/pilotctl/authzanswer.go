package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
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
}

// answer decides about a call.
func (e *authzQuestion) answer(to *analyze.Receiver, call *authz.Call) (authzAnswer, error) {
	var notes []string
	chain, err := authz.Chain(to.Listener, call)
	var mismatch *authz.Mismatch
	if errors.As(err, &mismatch) && mismatch.Kind == authz.TakesNoHTTP {
		notes = append(notes, fmt.Sprintf("port %d takes no HTTP by its name in the Service, so a rule that asks about requests allows nothing, and denies whatever the request", call.Port))
		call.Request = nil
		chain, err = authz.Chain(to.Listener, call)
	}
	if errors.As(err, &mismatch) {
		return authzAnswer{Decision: "refused: " + refusalOf(to, mismatch)}, nil
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
			return more, nil
		}
		notes = append(notes, more.Notes...)
	}
	d := authz.Decide(authz.Filters(chain), *call)
	out := authzAnswer{Allowed: d.Allowed, Decision: d.String(), Rule: d.Rule, Asks: d.Asks, AskedBy: d.AskedBy, Notes: append(notes, d.Notes()...)}
	if d.Missed != nil {
		out.Missed = strings.TrimSpace(d.Missed.Rule + " " + d.Missed.Field)
	}
	return out, nil
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

// refusalOf says why a port does not take a call, and by which object.
func refusalOf(to *analyze.Receiver, m *authz.Mismatch) string {
	switch mode, by := to.MutualTLS(m.Port); {
	case m.Kind == authz.NeedsMutualTLS && mode == ir.MTLSStrict && by != nil:
		return fmt.Sprintf("%v; PeerAuthentication %s/%s is STRICT", m, by.Namespace, by.Name)
	case m.Kind == authz.TakesNoMutualTLS && mode == ir.MTLSDisable && by != nil:
		return fmt.Sprintf("%v; PeerAuthentication %s/%s is DISABLE", m, by.Namespace, by.Name)
	}
	return m.Error()
}

// print prints an answer, and gives the exit code of a call that does not pass.
func (a authzAnswer) print(w io.Writer, output string) error {
	var err error
	if output == "short" {
		_, err = fmt.Fprintln(w, strings.Join(append([]string{a.Decision}, a.Notes...), "\n"))
	} else {
		err = printDocument(w, proxyconfig.Format(output), a)
	}
	if err == nil && !a.Allowed {
		return &exitError{code: exitUnserved}
	}
	return err
}

// portOf gives the port of --to, or the only one that the workload has.
func portOf(to *analyze.Receiver, given string) (uint32, error) {
	if given != "" {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("--to: port %q is not between 1 and 65535", given)
		}
		return uint32(n), nil
	}
	ports := authz.Ports(to.Listener)
	switch len(ports) {
	case 0:
		return 0, errors.New("--to: no Service names a port of the workload; give one, as NAMESPACE/WORKLOAD:PORT")
	case 1:
		return ports[0], nil
	}
	var names []string
	for _, p := range ports {
		names = append(names, strconv.FormatUint(uint64(p), 10))
	}
	return 0, fmt.Errorf("--to: the workload has ports %s; give one, as NAMESPACE/WORKLOAD:PORT", strings.Join(names, ", "))
}
