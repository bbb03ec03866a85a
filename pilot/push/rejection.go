package push

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// rejection is a resource that a proxy rejected, and what is served in its place: what was built without the
// parts that are at fault, or, where no part alone is, the last accepted version.
type rejection struct {
	built *resource.Resource // what was rejected, or has a part that was
	// standIn is built without its faults; nil where the last accepted version stays.
	standIn *resource.Resource
	faults  []fault
	search  *search   // for the faults; nil when it is over
	refused []refusal // what is told of it
	// patching gives the patches of EnvoyFilters that concern it, or a part of it.
	patching func(r *resource.Resource, part proto.Message) []model.MadeOf
}

// fault is a part that a proxy does not take. It is remembered by its bytes, since what comes next mostly
// has it still.
type fault struct {
	sum uint64
	refusal
}

// search finds out by asking a proxy which parts of a resource are at fault.
type search struct {
	bisection
	// spared are suspects of which other classes run the same. They count as innocent until the proxy
	// rejects the rest with all other suspects out.
	spared        []int
	parts, former *resource.Parts    // of what was built, and of what was accepted last
	asks          *Client            // nil where nobody is there to be asked
	trial         *resource.Resource // what it is asked about
	taken         *resource.Resource // what it took last
	proxy, detail string             // who rejected last, and why
}

// maxRounds bounds a search. What is suspected then is left out.
const maxRounds = 500

// newSearch begins a search, or gives nil where a resource has no parts, or none that is not accepted yet.
// elsewhere are versions that proxies of other classes have accepted.
func (f *rejection) newSearch(c *Client, accepted *resource.Resource, elsewhere []*resource.Resource, detail string) *search {
	s := &search{parts: f.built.Parts(), former: accepted.Parts(), asks: c, proxy: c.name(), detail: detail}
	if s.parts == nil {
		return nil
	}
	s.faults = faultsIn(s.parts, f.faults)
	s.suspects = slices.DeleteFunc(s.parts.Unlike(s.former), func(i int) bool { return slices.Contains(s.faults, i) })
	if len(s.suspects) == 0 {
		return nil
	}
	s.spare(elsewhere)
	s.few = 2*len(s.suspects) <= s.parts.Len()
	s.next(nil) // nothing is found before the proxy took something
	return s
}

// spare takes parts that others have accepted out of suspicion for now, if any are left. So a proxy that
// starts gets at once what others like it run, and not only once the fault is found.
func (s *search) spare(elsewhere []*resource.Resource) {
	rest := s.suspects
	for _, r := range elsewhere {
		unlike := s.parts.Unlike(r.Parts())
		rest = slices.DeleteFunc(slices.Clone(rest), func(i int) bool { return !slices.Contains(unlike, i) })
	}
	if len(rest) == 0 || len(rest) == len(s.suspects) {
		return
	}
	s.spared = slices.DeleteFunc(s.suspects, func(i int) bool { return slices.Contains(rest, i) })
	s.suspects = rest
}

// suspectAll takes all parts that were spared under suspicion, and begins a round if there are any.
func (s *search) suspectAll() bool {
	spared := s.spared
	if s.spared = nil; len(spared) == 0 {
		return false
	}
	s.again(spared)
	s.few = false
	return s.next(nil) // nothing is found before the proxy took something
}

// faultsIn lists the parts that are known to be at fault.
func faultsIn(parts *resource.Parts, faults []fault) []int {
	var out []int
	for i := range parts.Len() {
		if slices.ContainsFunc(faults, func(x fault) bool { return x.sum == parts.Sum(i) }) {
			out = append(out, i)
		}
	}
	return out
}

// answered goes on to the next round, and tells whether there is one.
func (f *rejection) answered(taken bool) bool {
	s := f.search
	if taken {
		s.taken = s.trial
	}
	s.answer(taken)
	return s.rounds < maxRounds && s.next(f.found)
}

// found notes that a part is at fault.
func (f *rejection) found(i int) {
	f.faults = append(f.faults, fault{f.search.parts.Sum(i), f.refusalOf(i)})
}

// refusalOf blames what a part came from.
func (f *rejection) refusalOf(i int) refusal {
	s := f.search
	name := strings.TrimSpace(fmt.Sprintf("%s %s %s", s.parts.Of().Type, s.parts.Of().Name, s.parts.Name(i)))
	return refusal{
		proxy: s.proxy, detail: s.detail, instead: s.parts.Instead(i, s.former),
		what:   fmt.Sprintf("%s of %s %q", s.parts.Describe(i), s.parts.Of().Type, s.parts.Of().Name),
		blamed: blamed(name, s.parts.Message(i), f.patching(f.built, s.parts.Message(i))),
	}
}

// settle ends the search with what it found. What is suspected still is left out as well.
func (f *rejection) settle() {
	s := f.search
	for _, i := range s.rest() {
		f.found(i)
	}
	f.search, f.standIn, f.refused = nil, s.taken, nil
	for _, x := range f.faults {
		f.refused = append(f.refused, x.refusal)
	}
}

// giveUp ends the search where no part is at fault by itself.
func (f *rejection) giveUp(proxy, detail string, accepted *resource.Resource) {
	f.search, f.standIn, f.faults = nil, nil, nil
	message, err := f.built.Message()
	if err != nil {
		message = nil
	}
	instead := "is not there"
	if accepted != nil {
		instead = "stays as it was accepted last"
	}
	f.refused = []refusal{{
		proxy: proxy, detail: detail, instead: instead, what: fmt.Sprintf("%s %q", f.built.Type, f.built.Name),
		blamed: blamed(f.built.Type.String()+" "+f.built.Name, message, f.patching(f.built, nil)),
	}}
}

// succeeded gives the rejection of the next version, as far as that has the same faults; nil where it has
// none.
func (f *rejection) succeeded(r, accepted *resource.Resource, p *resource.Pool) *rejection {
	if len(f.faults) == 0 {
		return nil
	}
	parts := r.Parts()
	if parts == nil {
		return nil
	}
	out := faultsIn(parts, f.faults)
	if len(out) == 0 {
		return nil
	}
	standIn, err := parts.Without(out, accepted.Parts())
	if err != nil {
		return nil
	}
	next := &rejection{built: r, standIn: p.One(standIn)}
	for _, x := range f.faults {
		if slices.ContainsFunc(out, func(i int) bool { return parts.Sum(i) == x.sum }) {
			next.faults, next.refused = append(next.faults, x), append(next.refused, x.refusal)
		}
	}
	return next
}
