package store

import (
	"maps"
	"slices"
	"strings"
	"sync"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// scope tells to which namespaces an object is exported.
type scope struct {
	all        bool
	namespaces []string // sorted
}

// scopeOf reads an exportTo list: nothing and "*" mean everyone, then "~" means nobody, "." the
// object's own namespace.
func scopeOf(exportTo []string, own string) scope {
	if len(exportTo) == 0 || slices.Contains(exportTo, "*") {
		return scope{all: true}
	}
	if slices.Contains(exportTo, "~") {
		return scope{}
	}
	namespaces := make([]string, 0, len(exportTo))
	for _, ns := range exportTo {
		if ns == "." {
			ns = own
		}
		namespaces = append(namespaces, ns)
	}
	slices.Sort(namespaces)
	return scope{namespaces: slices.Compact(namespaces)}
}

func (s scope) includes(namespace string) bool {
	if s.all {
		return true
	}
	_, found := slices.BinarySearch(s.namespaces, namespace)
	return found
}

func virtualServiceScope(o *model.Object, mesh *meshconfig.MeshConfig) scope {
	exportTo := o.Spec.(*networking.VirtualService).GetExportTo()
	if len(exportTo) == 0 {
		exportTo = mesh.GetDefaultVirtualServiceExportTo()
	}
	return scopeOf(exportTo, o.Namespace)
}

func ruleScope(o *model.Object, mesh *meshconfig.MeshConfig) scope {
	rule := o.Spec.(*networking.DestinationRule)
	if rule.GetWorkloadSelector() != nil { // such a rule is private
		return scopeOf([]string{"."}, o.Namespace)
	}
	exportTo := rule.GetExportTo()
	if len(exportTo) == 0 {
		exportTo = mesh.GetDefaultDestinationRuleExportTo()
	}
	return scopeOf(exportTo, o.Namespace)
}

// visible holds sorted rows by who may see them. Its lists are never written after they were
// made.
type visible[T any] struct {
	order   func(a, b T) int
	public  []T            // for every namespace
	private map[string][]T // more for one namespace each
	// merged memoises what a namespace with private rows sees; its rows follow from the others.
	merged *sync.Map
}

// scoped is a row and who may see it.
type scoped[T any] struct {
	row   T
	scope scope
}

func newVisible[T any](order func(a, b T) int) visible[T] {
	return visible[T]{order: order, merged: &sync.Map{}}
}

// from gives the rows that a namespace sees, in order.
func (v visible[T]) from(namespace string) []T {
	private := v.private[namespace]
	if len(private) == 0 {
		return v.public
	}
	if rows, ok := v.merged.Load(namespace); ok {
		return rows.([]T)
	}
	rows := replaceRows(v.public, nil, private, v.order)
	v.merged.Store(namespace, rows)
	return rows
}

// with gives v with some rows taken out and others put in.
func (v visible[T]) with(removed, added []scoped[T]) visible[T] {
	if len(removed)+len(added) == 0 {
		return v
	}
	type delta struct{ out, in []T }
	var public delta
	private := map[string]*delta{}
	of := func(ns string) *delta {
		if private[ns] == nil {
			private[ns] = &delta{}
		}
		return private[ns]
	}
	for _, r := range removed {
		if r.scope.all {
			public.out = append(public.out, r.row)
		}
		for _, ns := range r.scope.namespaces {
			of(ns).out = append(of(ns).out, r.row)
		}
	}
	for _, r := range added {
		if r.scope.all {
			public.in = append(public.in, r.row)
		}
		for _, ns := range r.scope.namespaces {
			of(ns).in = append(of(ns).in, r.row)
		}
	}
	next := newVisible(v.order)
	next.public = replaceRows(v.public, public.out, public.in, v.order)
	next.private = v.private
	if len(private) > 0 {
		next.private = maps.Clone(v.private)
		if next.private == nil {
			next.private = map[string][]T{}
		}
	}
	for ns, d := range private {
		if rows := replaceRows(v.private[ns], d.out, d.in, v.order); len(rows) > 0 {
			next.private[ns] = rows
		} else {
			delete(next.private, ns)
		}
	}
	return next
}

// replaceRows gives a sorted list with the rows of out taken away and those of in put in. What
// stays is copied in stretches, so that a long list costs little more than its memory.
func replaceRows[T any](rows, out, in []T, order func(a, b T) int) []T {
	if len(out) == 0 && len(in) == 0 {
		return rows
	}
	out, in = slices.Clone(out), slices.Clone(in)
	slices.SortFunc(out, order)
	slices.SortFunc(in, order)
	next := make([]T, 0, max(0, len(rows)-len(out))+len(in))
	for len(out)+len(in) > 0 {
		leaves := len(out) > 0 && (len(in) == 0 || order(out[0], in[0]) <= 0)
		if leaves {
			at, found := slices.BinarySearchFunc(rows, out[0], order)
			next = append(next, rows[:at]...)
			if found {
				at++
			}
			rows, out = rows[at:], out[1:]
			continue
		}
		at, _ := slices.BinarySearchFunc(rows, in[0], order)
		next = append(append(next, rows[:at]...), in[0])
		rows, in = rows[at:], in[1:]
	}
	return append(next, rows...)
}

func compareServices(a, b *model.Service) int { return strings.Compare(a.Hostname, b.Hostname) }
