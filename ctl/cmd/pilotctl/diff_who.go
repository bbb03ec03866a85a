package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// seat is where a proxy is.
type seat struct {
	Kind      model.ProxyType `json:"kind"` // sidecar or router
	Namespace string          `json:"namespace"`
	Workload  string          `json:"workload"`
	Pod       string          `json:"pod,omitempty"` // of a proxy that runs
}

func (s seat) compare(o seat) int {
	return cmp.Or(cmp.Compare(s.Kind, o.Kind), cmp.Compare(s.Namespace, o.Namespace), cmp.Compare(s.Workload, o.Workload), cmp.Compare(s.Pod, o.Pod))
}

// workload gives the seat without the pod.
func (s seat) workload() seat {
	s.Pod = ""
	return s
}

// section is the proxies of a kind in a namespace.
type section struct {
	kind      model.ProxyType
	namespace string
}

// whole is all proxies, among whom some are named.
type whole []seat

// named says which some are: by what they are, or by which others they are all but, whichever is shorter.
func (all whole) named(some []seat) string {
	is, isNot := parted(some), parted(all.without(some))
	out := all.listed(is)
	switch {
	case len(is) > 1 && len(isNot) == 0:
		return fmt.Sprintf("all %d proxies", len(all))
	case len(is) > 1:
		if but := fmt.Sprintf("all %d proxies but %s", len(all), all.listed(isNot)); len(but) < len(out) {
			return but
		}
	}
	return out
}

// without gives all others than some.
func (all whole) without(some []seat) []seat {
	in := map[seat]bool{}
	for _, s := range some {
		in[s] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(s seat) bool { return in[s] })
}

// parted gives proxies by their section, in order.
func parted(some []seat) [][]seat {
	var out [][]seat
	for _, s := range slices.SortedFunc(slices.Values(some), seat.compare) {
		n := len(out)
		if n == 0 || out[n-1][0].section() != s.section() {
			out, n = append(out, nil), n+1
		}
		out[n-1] = append(out[n-1], s)
	}
	return out
}

func (s seat) section() section { return section{s.Kind, s.Namespace} }

// listed says of each section which proxies of it are meant.
func (all whole) listed(sections [][]seat) string {
	var out []string
	for _, seats := range sections {
		out = append(out, all.part(seats))
	}
	return strings.Join(out, "; ")
}

// namedMost is how many workloads of a section are named.
const namedMost = 3

// part says which proxies of a section are meant.
func (all whole) part(seats []seat) string {
	at := seats[0].section()
	names := all.workloads(seats)
	others := all.without(seats)
	others = slices.DeleteFunc(others, func(s seat) bool { return s.section() != at })
	total := len(seats) + len(others)
	switch n, but := len(names), all.workloads(others); {
	case n == 1:
		return fmt.Sprintf("%s %s.%s", at.kind, names[0], at.namespace)
	case n <= namedMost:
		return fmt.Sprintf("%ss of namespace %s: %s", at.kind, at.namespace, strings.Join(names, ", "))
	case len(but) == 0:
		return fmt.Sprintf("all %d %ss of namespace %s", total, at.kind, at.namespace)
	case len(but) <= namedMost:
		return fmt.Sprintf("all %d %ss of namespace %s but %s", total, at.kind, at.namespace, strings.Join(but, ", "))
	default:
		return fmt.Sprintf("%d of %d %ss of namespace %s: %s and %d more", len(seats), total, at.kind, at.namespace,
			strings.Join(names[:namedMost-1], ", "), n-namedMost+1)
	}
}

// workloads names those of proxies, with the pod where other pods of the workload are not among them.
func (all whole) workloads(some []seat) []string {
	left := map[seat]int{}
	for _, s := range all {
		left[s.workload()]++
	}
	for _, s := range some {
		left[s.workload()]--
	}
	var out []string
	for _, s := range some {
		name := s.Workload
		if s.Pod != "" && left[s.workload()] > 0 {
			name += " (" + s.Pod + ")"
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
