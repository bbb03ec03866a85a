package store

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The tables of EnvoyFilters.
const (
	tablePatches     = "patches" // by what they touch
	tablePatched     = "patched namespaces"
	tableConditional = "patches of some proxies"
)

// IsPatch tells whether a row is of EnvoyFilters by what they touch.
func IsPatch(row Row) bool { return row.Table == tablePatches }

func patchTargets(_ *Settings, o *model.Object) []Place {
	var names []string
	for _, p := range o.Spec.(*networking.EnvoyFilter).GetConfigPatches() {
		names = append(names, model.PatchTarget(p))
	}
	slices.Sort(names)
	var out []Place
	for _, name := range slices.Compact(names) {
		out = append(out, Place{Namespace: o.Namespace, Name: name})
	}
	return out
}

func patchedNamespace(_ *Settings, o *model.Object) []Place {
	return []Place{{Namespace: o.Namespace, Name: "any"}}
}

func conditionalPatches(_ *Settings, o *model.Object) []Place {
	return inNamespaceIf(model.ConditionalPatches(o.Spec.(*networking.EnvoyFilter)), o)
}

// EnvoyFilters gives those of a namespace with a patch of a model.PatchTarget, model.Older first.
func (r Reader) EnvoyFilters(namespace, target string) []*model.Object {
	return r.List(tablePatches, Place{Namespace: namespace, Name: target})
}

// HasEnvoyFilters tells whether a namespace has any.
func (r Reader) HasEnvoyFilters(namespace string) bool {
	return len(r.Names(tablePatched, Place{Namespace: namespace})) > 0
}

// ConditionalEnvoyFilters gives those of a namespace that are for some proxies only, model.Older first.
func (r Reader) ConditionalEnvoyFilters(namespace string) []*model.Object {
	return r.List(tableConditional, Place{Namespace: namespace})
}
