package patch

import (
	"fmt"
	"slices"
	"strings"

	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Set is what may change one message, in the order in which it applies.
type Set []*Patch

// ID tells sets apart that say something else; "" for an empty one.
func (s Set) ID() string {
	if len(s) == 0 {
		return ""
	}
	ids := make([]string, len(s))
	for i, p := range s {
		ids[i] = p.ID
	}
	return strings.Join(ids, "\n")
}

// Refers tells whether a filter of the set has its settings elsewhere.
func (s Set) Refers() bool {
	return slices.ContainsFunc(s, func(p *Patch) bool {
		f, ok := p.value.(*hcm.HttpFilter)
		return ok && f.GetConfigDiscovery() != nil
	})
}

// Context is where a message stands.
type Context = networking.EnvoyFilter_PatchContext

// run applies the patches of a set to one message.
type run struct {
	context Context
	patches Set
	current *Patch // that is applied now
	failed  map[*Patch]error
}

// fail notes that a patch could not be applied. Nothing is applied after it: what it left may make others
// fail.
func (r *run) fail(p *Patch, err error) {
	if len(r.failed) == 0 {
		r.failed[p] = err
	}
}

// each visits the patches of a kind, in order.
func (r *run) each(to networking.EnvoyFilter_ApplyTo, visit func(*Patch)) {
	for _, p := range r.patches {
		if len(r.failed) == 0 && p.is(to, r.context) {
			r.current = p
			visit(p)
		}
	}
}

func (r *run) any(to ...networking.EnvoyFilter_ApplyTo) bool {
	return slices.ContainsFunc(r.patches, func(p *Patch) bool {
		return slices.ContainsFunc(to, func(to networking.EnvoyFilter_ApplyTo) bool { return p.is(to, r.context) })
	})
}

// attempt applies patches to a message that fresh makes, again and again without those that failed, so that
// one has its whole effect or none. kept is false where a patch removes the message.
func attempt[M proto.Message](s Set, c Context, fresh func() M, apply func(*run, M) (M, bool)) (out M, kept bool, problems []model.Problem) {
	for {
		r := &run{context: c, patches: s, failed: map[*Patch]error{}}
		out, kept = guarded(r, fresh, apply)
		if len(r.failed) == 0 {
			return out, kept, problems
		}
		for p, err := range r.failed {
			problems = append(problems, p.problem(".patch", err))
		}
		s = slices.DeleteFunc(slices.Clone(s), func(p *Patch) bool { return r.failed[p] != nil })
		slices.SortFunc(problems, model.CompareProblems)
	}
}

// guarded turns a panic into a failure of the patch that is applied: what users write stops no process.
func guarded[M proto.Message](r *run, fresh func() M, apply func(*run, M) (M, bool)) (out M, kept bool) {
	defer func() {
		if cause := recover(); cause != nil {
			if r.current == nil {
				panic(cause) // no patch's fault
			}
			r.fail(r.current, fmt.Errorf("it cannot be applied: %v", cause))
		}
	}()
	return apply(r, fresh())
}

// edit applies a patch to a list of named messages. anchored tells that the patch says beside or in the
// place of which one it goes; end is where one goes that is added.
func edit[T proto.Message](list []T, p *Patch, anchored bool, hit func(T) bool, end int) []T {
	at := slices.IndexFunc(list, hit)
	value := func() T { return proto.Clone(p.value).(T) }
	switch p.operation {
	case opAdd:
		return slices.Insert(list, end, value())
	case opFirst:
		return slices.Insert(list, 0, value())
	case opBefore:
		if !anchored {
			at = 0
		}
	case opAfter:
		if at++; !anchored {
			at = end
		} else if at == 0 {
			return list
		}
	case opReplace:
		if anchored && at >= 0 {
			list[at] = value()
		}
		return list
	case opRemove:
		if anchored {
			return slices.DeleteFunc(list, hit)
		}
		return list
	default:
		return list
	}
	if at < 0 {
		return list
	}
	return slices.Insert(list, at, value())
}
