package authz

import "github.com/pilothouse-mesh/pilothouse/pilot/ir"

// Trial is what policies on trial (dry run) of an action would do.
type Trial struct {
	Allowed bool
	Rule    string // that would deny or allow; "" where no rule allows
}

// String says a trial in a sentence.
func (t Trial) String() string {
	switch {
	case t.Allowed:
		return "dry run: would be allowed by " + t.Rule
	case t.Rule != "":
		return "dry run: would be denied by " + t.Rule
	}
	return "dry run: would be denied, as no ALLOW policy on trial matched"
}

// try gives what the rules on trial of a filter would do, nil for nothing.
func try(f *ir.RBAC, call *Call) *Trial {
	if f.Shadow == nil || f.Provider != "" || f.Action == ir.RBACLog {
		return nil
	}
	rule, _ := first(*f.Shadow, call)
	if f.Action == ir.RBACDeny && rule == "" {
		return nil
	}
	return &Trial{Allowed: f.Action == ir.RBACAllow && rule != "", Rule: rule}
}

// Notes says in sentences what happens beside the decision.
func (d Decision) Notes() []string {
	var out []string
	for _, t := range d.Trials {
		out = append(out, t.String())
	}
	if d.Audited != "" {
		out = append(out, "audited: by "+d.Audited)
	}
	return out
}
