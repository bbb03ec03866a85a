package resolve

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	typev1beta1 "istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ClassPatches are the patches of an EnvoyFilter with conditions that a class fulfils.
type ClassPatches struct {
	Filter model.Key
	// Held are the indexes of the patches for the proxy, separated by commas.
	Held string
}

// workloadPatches finds the EnvoyFilters with conditions that a proxy fulfils.
func workloadPatches(r Reader, p *model.Proxy, labels map[string]string) []ClassPatches {
	var out []ClassPatches
	for _, ns := range rootAndOwn(r, p.Namespace) {
		for _, o := range r.ConditionalEnvoyFilters(ns) {
			spec := o.Spec.(*networking.EnvoyFilter)
			if !selectsProxy(spec, p, labels) {
				continue
			}
			var held []string
			for i, item := range spec.GetConfigPatches() {
				if matchesProxy(item.GetMatch().GetProxy(), p) {
					held = append(held, strconv.Itoa(i))
				}
			}
			if len(held) > 0 {
				out = append(out, ClassPatches{o.Key, strings.Join(held, ",")})
			}
		}
	}
	return out
}

// selectsProxy evaluates the selector, or the references, of an EnvoyFilter.
func selectsProxy(f *networking.EnvoyFilter, p *model.Proxy, labels map[string]string) bool {
	if refs := f.GetTargetRefs(); len(refs) > 0 {
		return p.Type == model.RouterProxy && slices.ContainsFunc(refs, func(ref *typev1beta1.PolicyTargetReference) bool {
			return model.GatewayAPIGateway(ref) && labels[model.GatewayNameLabel] == ref.GetName()
		})
	}
	return model.HasLabels(labels, f.GetWorkloadSelector().GetLabels())
}

// matchesProxy evaluates the version and the metadata that a patch asks for. A pattern that does not parse
// matches nothing.
func matchesProxy(m *networking.EnvoyFilter_ProxyMatch, p *model.Proxy) bool {
	if v := m.GetProxyVersion(); v != "" {
		pattern, err := regexp.Compile(v)
		if err != nil || len(v) > maxRegex || !pattern.MatchString(p.IstioVersion) {
			return false
		}
	}
	for key, want := range m.GetMetadata() {
		if has, ok := p.Metadata[key]; !ok || has != want {
			return false
		}
	}
	return true
}

// Patched is an EnvoyFilter for a class, with those of its patches that count.
type Patched struct {
	*model.Object
	Patches []int // indexes
}

// EnvoyFilters gives those that touch one of some targets (model.PatchTarget) of a class, with the patches
// that do: by priority, then those of the root namespace first, then by age.
func EnvoyFilters(r Reader, c *Class, targets ...string) []Patched {
	var out []Patched
	root := rootNamespace(r)
	for _, ns := range rootAndOwn(r, c.Namespace) {
		if ns == root && !r.HasEnvoyFilters(root) {
			continue
		}
		for _, target := range targets {
			for _, o := range r.EnvoyFilters(ns, target) {
				if !slices.ContainsFunc(out, func(p Patched) bool { return p.Object == o }) {
					out = append(out, Patched{o, c.patches(r, o, targets)})
				}
			}
		}
	}
	out = slices.DeleteFunc(out, func(p Patched) bool { return len(p.Patches) == 0 })
	late := func(o *model.Object) int {
		if o.Namespace == root {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b Patched) int {
		x, y := a.Spec.(*networking.EnvoyFilter), b.Spec.(*networking.EnvoyFilter)
		return cmp.Or(cmp.Compare(x.GetPriority(), y.GetPriority()), cmp.Compare(late(a.Object), late(b.Object)), model.Older(a.Object, b.Object))
	})
	return out
}

// patches gives the indexes of the patches of an EnvoyFilter that are for a class and touch a target.
func (c *Class) patches(r Reader, o *model.Object, targets []string) []int {
	spec := o.Spec.(*networking.EnvoyFilter)
	conditional, held := model.ConditionalPatches(spec), ""
	if conditional {
		r.Note(factPatches + o.Key.String())
		at := slices.IndexFunc(c.Patches, func(p ClassPatches) bool { return p.Filter == o.Key })
		if at < 0 {
			return nil
		}
		held = "," + c.Patches[at].Held + ","
	}
	var out []int
	for i, item := range spec.GetConfigPatches() {
		if slices.Contains(targets, model.PatchTarget(item)) && (!conditional || strings.Contains(held, ","+strconv.Itoa(i)+",")) {
			out = append(out, i)
		}
	}
	return out
}
