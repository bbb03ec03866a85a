package proxyconfig

import (
	"cmp"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Enforced is what an Envoy makes of one AuthorizationPolicy, by the rules of its listeners.
type Enforced struct {
	Action    string `json:"action"` // ALLOW, DENY, LOG (of AUDIT) or CUSTOM
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Rules     []int  `json:"rules"` // those of its rules that some listener has
	// DryRun tells that the rules are only counted and noted.
	DryRun bool `json:"dryRun,omitempty"`
	// Provider is who is asked about what the rules of a CUSTOM policy match.
	Provider  string   `json:"provider,omitempty"`
	Listeners []string `json:"listeners"`
}

// rbacRules are those of an RBAC filter of either kind, in force or on trial.
type rbacRules struct {
	Action   string                     `json:"action"` // absent for ALLOW
	Policies map[string]json.RawMessage `json:"policies"`
}

// Enforced gives what the listeners in use enforce: DENY, ALLOW, LOG and CUSTOM, each by name.
func (d *Dump) Enforced() ([]Enforced, error) {
	found := map[enforcedKey]*Enforced{}
	for _, r := range d.Listeners {
		if r.State != "ACTIVE" {
			continue
		}
		var l listener
		if err := json.Unmarshal(r.Raw, &l); err != nil {
			return nil, err
		}
		for _, c := range l.allChains() {
			for i := range c.Filters {
				filters, err := c.Filters[i].rbac()
				if err != nil {
					return nil, err
				}
				for _, f := range filters {
					note(found, r.Name, f.Typed.Rules, false)
					note(found, r.Name, f.Typed.Shadow, true)
				}
			}
		}
	}
	out := make([]Enforced, 0, len(found))
	for _, e := range found {
		slices.Sort(e.Rules)
		slices.Sort(e.Listeners)
		e.Rules, e.Listeners = slices.Compact(e.Rules), slices.Compact(e.Listeners)
		out = append(out, *e)
	}
	order := []string{"DENY", "ALLOW", "LOG", "CUSTOM"}
	slices.SortFunc(out, func(a, b Enforced) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Action), slices.Index(order, b.Action)), cmp.Compare(a.Name+"."+a.Namespace, b.Name+"."+b.Namespace),
			cmp.Compare(strconv.FormatBool(a.DryRun), strconv.FormatBool(b.DryRun)), cmp.Compare(a.Provider, b.Provider))
	})
	return out, nil
}

// enforcedKey tells one Enforced from another.
type enforcedKey struct {
	action, namespace, name, provider string
	dryRun                            bool
}

// ruleName is how the control plane, and Istio's, names a rule; that of a CUSTOM policy after its provider.
var ruleName = regexp.MustCompile(`^(?:istio-ext-authz-(.+)-)?ns\[(.+)\]-policy\[(.+)\]-rule\[(\d+)\]$`)

// note adds the rules of a filter. Names of other forms, as an EnvoyFilter may add, are names of policies.
func note(found map[enforcedKey]*Enforced, listener string, rules *rbacRules, shadow bool) {
	if rules == nil {
		return
	}
	for name := range rules.Policies {
		key := enforcedKey{action: cmp.Or(rules.Action, "ALLOW"), name: name, dryRun: shadow}
		rule := 0
		if m := ruleName.FindStringSubmatch(name); m != nil {
			key.provider, key.namespace, key.name = m[1], m[2], m[3]
			rule, _ = strconv.Atoi(m[4]) // digits, as the expression says
		}
		if key.provider != "" {
			key.action, key.dryRun = "CUSTOM", false
		}
		e := found[key]
		if e == nil {
			e = &Enforced{Action: key.action, Namespace: key.namespace, Name: key.name, DryRun: key.dryRun, Provider: key.provider}
			found[key] = e
		}
		e.Rules, e.Listeners = append(e.Rules, rule), append(e.Listeners, listener)
	}
}

// rbac gives the RBAC filters that a filter is or has.
func (f *filter) rbac() ([]filter, error) {
	all := []filter{*f}
	if f.isHTTP() && f.Typed.HTTPFilters != nil {
		all = nil
		if err := json.Unmarshal(f.Typed.HTTPFilters, &all); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(f filter) bool { return !strings.HasSuffix(f.Typed.Type, ".RBAC") }), nil
}

// PrintEnforced prints ACTION, AuthorizationPolicy, RULES, a row for each policy, as `istioctl x authz check`
// does, and of CUSTOM policies and dry runs too, which that leaves out.
func (d *Dump) PrintEnforced(w io.Writer, format Format) error {
	all, err := d.Enforced()
	if err != nil {
		return err
	}
	if format != Short {
		data, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return document(w, format, data)
	}
	var rows [][]string
	for _, e := range all {
		action, name := e.Action, e.Name
		if e.DryRun {
			action += " (dry-run)"
		}
		if e.Namespace != "" {
			name += "." + e.Namespace
		}
		rows = append(rows, []string{action, name, strconv.Itoa(len(e.Rules))})
	}
	return table(w, 3, "ACTION\tAuthorizationPolicy\tRULES", rows)
}
