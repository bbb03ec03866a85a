package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// destinationRule is what the DestinationRules in force say of one service. Rules of the same
// host in one namespace add their subsets; the first traffic policy wins.
type destinationRule struct {
	object   *model.Object // the first rule, which resources name as their origin
	policy   policySource
	subsets  []ruleSubset
	problems []model.Problem
}

// policySource is a traffic policy with the place where it is written.
type policySource struct {
	spec   *networking.TrafficPolicy // nil for none
	object *model.Object
	field  string // e.g. "spec.trafficPolicy"
}

type ruleSubset struct {
	name   string
	labels map[string]string
	policy policySource
	// fallback is the subset that gets the requests while this one has no endpoint; "" for none.
	fallback string
}

// subset gives the one with the name, or nil.
func (d *destinationRule) subset(name string) *ruleSubset {
	if d == nil {
		return nil
	}
	for i := range d.subsets {
		if d.subsets[i].name == name {
			return &d.subsets[i]
		}
	}
	return nil
}

// fallback gives the labels of those that get a subset's requests while it has no endpoint, in turn: a subset to fall back to may fall back itself.
func (d *destinationRule) fallback(name string) []map[string]string {
	var out []map[string]string
	seen := map[string]bool{}
	for s := d.subset(name); s != nil && s.fallback != "" && !seen[s.name]; {
		seen[s.name] = true
		if s.fallback == model.AllEndpoints {
			return append(out, nil)
		}
		if s = d.subset(s.fallback); s != nil {
			out = append(out, s.labels)
		}
	}
	return out
}

// ruleFor finds the rule in force for a service's clients: of the client's namespace, else of the
// service's, else of the root namespace; the first namespace with one wins wholly. Rules that a
// client in the root namespace exports to itself alone come first for it; its other rules are
// meant for the whole mesh and come last.
func ruleFor(r Reader, c *Class, svc *model.Service) *destinationRule {
	root := rootNamespace(r)
	namespaces := []string{c.Namespace, svc.Namespace, root}
	if c.Namespace == root {
		public := func(o *model.Object) bool { return !private(r, o) }
		if own := mostSpecific(r, c, slices.DeleteFunc(slices.Clone(r.DestinationRules(root, root, svc.Hostname)), public)); len(own) > 0 {
			return mergeRules(c, own)
		}
		namespaces = namespaces[1:]
	}
	for _, namespace := range slices.Compact(namespaces) {
		if found := mostSpecific(r, c, r.DestinationRules(namespace, c.Namespace, svc.Hostname)); len(found) > 0 {
			return mergeRules(c, found)
		}
	}
	return nil
}

// mostSpecific gives the first of the rules, which stand by their hosts, and those of the same host. A rule
// with a workloadSelector is private to its namespace and to the workloads that it selects.
func mostSpecific(r Reader, c *Class, rules []*model.Object) []*model.Object {
	var out []*model.Object
	host := ""
	for _, o := range rules {
		dr := o.Spec.(*networking.DestinationRule)
		if dr.GetWorkloadSelector() != nil && !slices.Contains(c.DestinationRules, o.Key) {
			continue
		}
		full := model.ResolveHost(dr.GetHost(), o.Namespace, r.Domain())
		if host = cmp.Or(host, full); full == host {
			out = append(out, o)
		}
	}
	return out
}

// private tells whether only its own namespace sees a rule.
func private(r Reader, o *model.Object) bool {
	dr := o.Spec.(*networking.DestinationRule)
	return dr.GetWorkloadSelector() != nil ||
		model.ExportTo(dr.GetExportTo(), r.Mesh().GetDefaultDestinationRuleExportTo(), o.Namespace).Only(o.Namespace)
}

// mergeRules joins rules of one host, the oldest first, as far as they count together.
func mergeRules(c *Class, rules []*model.Object) *destinationRule {
	counting, apart := together(c, rules)
	out := &destinationRule{object: counting[0]}
	conflict := func(o *model.Object, field, message string) {
		out.problems = append(out.problems, o.WarningAt(field, model.ReasonConflict, message))
	}
	for _, o := range apart {
		conflict(o, "spec.exportTo", fmt.Sprintf("%s, which is younger, has the same host and another exportTo; clients that see both take that one alone",
			rules[len(rules)-1].Key))
	}
	for _, o := range counting {
		dr := o.Spec.(*networking.DestinationRule)
		switch {
		case dr.GetTrafficPolicy() == nil:
		case out.policy.spec == nil:
			out.policy = policySource{dr.GetTrafficPolicy(), o, "spec.trafficPolicy"}
		default:
			conflict(o, "spec.trafficPolicy", fmt.Sprintf("%s, which is older, sets the traffic policy of host %s, and this one does not count; put all settings into one of them",
				out.policy.object.Key, dr.GetHost()))
		}
		// What is wrong with it, the source tells.
		fallback, _ := model.ParseSubsetFallback(o.Annotations[model.AnnotationSubsetFallback])
		for i, s := range dr.GetSubsets() {
			field := fmt.Sprintf("spec.subsets[%d]", i)
			if former := out.subset(s.GetName()); former != nil {
				conflict(o, field+".name", fmt.Sprintf("subset %q of host %s is defined by %s already, and that definition counts; remove this one, or give it another name",
					s.GetName(), dr.GetHost(), former.policy.object.Key))
				continue
			}
			out.subsets = append(out.subsets, ruleSubset{
				name: s.GetName(), labels: s.GetLabels(), fallback: fallback[s.GetName()],
				policy: policySource{s.GetTrafficPolicy(), o, field + ".trafficPolicy"},
			})
		}
	}
	return out
}

// together gives those of a host's rules, the oldest first, that count together, and those that do not for their exportTo.
// Rules that select the workload count without the others: the oldest of them, with those of the same selector. Else
// the rules with the exportTo of the youngest count, as in Istio, so that a namespace can have one for itself.
func together(c *Class, rules []*model.Object) (counting, apart []*model.Object) {
	selects := func(o *model.Object) bool { return slices.Contains(c.DestinationRules, o.Key) }
	if at := slices.IndexFunc(rules, selects); at >= 0 {
		labels := selectorOf(rules[at])
		for _, o := range rules[at:] {
			if selects(o) && maps.Equal(labels, selectorOf(o)) {
				counting = append(counting, o)
			}
		}
		return counting, nil
	}
	exportTo := exportOf(rules[len(rules)-1])
	for _, o := range rules {
		if slices.Equal(exportTo, exportOf(o)) {
			counting = append(counting, o)
		} else {
			apart = append(apart, o)
		}
	}
	return counting, apart
}

func selectorOf(o *model.Object) map[string]string {
	return o.Spec.(*networking.DestinationRule).GetWorkloadSelector().GetMatchLabels()
}

func exportOf(o *model.Object) []string {
	return distinct(slices.Clone(o.Spec.(*networking.DestinationRule).GetExportTo()))
}
