package explain

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Change is one thing that an Envoy does differently, or has differently.
type Change struct {
	// Request is what is asked, e.g. "GET http://reviews.default:9080/a"; empty for a resource.
	Request string `json:"request,omitempty"`
	// Resource is a type and a name, e.g. "cluster outbound|80||a"; empty for a request.
	Resource string `json:"resource,omitempty"`
	// Differences say what is another one.
	Differences []Difference `json:"differences"`
	// Was and Is are all that becomes of a request, where it is one; Was is nil where routes of many kinds had it.
	Was *Outcome `json:"was,omitempty"`
	Is  *Outcome `json:"is,omitempty"`
}

// Difference is one thing of what a proxy does or has.
type Difference struct {
	What   string `json:"what,omitempty"` // e.g. "timeout"; empty for what becomes of the request, or of the resource
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// String gives one line.
func (c Change) String() string {
	if c.Request != "" {
		return c.Request + ": " + sentence(c.Differences)
	}
	return c.Resource + ": " + c.kind()
}

// Side is what a proxy runs, of one of two configurations that are compared.
type Side struct {
	Resources []proto.Message
	Config    func() *Config // of them
}

// Differ compares what proxies run. What is the same for several proxies it compares once.
type Differ struct {
	Trials int // how often a request was followed, by both configurations
	// Tell is told what is done, now and then; nil for nobody.
	Tell func(doing string)

	seed  maphash.Seed
	known map[[2]uint64][]Change
}

// NewDiffer gives one that has compared nothing.
func NewDiffer() *Differ {
	return &Differ{seed: maphash.MakeSeed(), known: map[[2]uint64][]Change{}}
}

// Diff lists what changes from one configuration of a proxy to another: requests that are answered otherwise, then
// resources. Only requests are tried that come to something that is another one.
func (d *Differ) Diff(before, after Side) []Change {
	if slices.Equal(before.Resources, after.Resources) {
		return nil // the very same, as of most proxies where little changes
	}
	var out, changed []Change
	for _, part := range []struct {
		is  func(proto.Message) bool
		ask func(*focus) []Change
	}{{isOutbound, (*focus).requests}, {isInbound, (*focus).calls}} {
		key := [2]uint64{d.key(before.Resources, part.is), d.key(after.Resources, part.is)}
		if key[0] == key[1] {
			continue
		}
		found, ok := d.known[key]
		if !ok {
			f := d.focus(before, after, part.is)
			if len(f.resources) > 0 {
				found = append(part.ask(f), f.resources...)
			}
			d.known[key] = found
		}
		for _, c := range found {
			if c.Request != "" {
				out = append(out, c)
			} else {
				changed = append(changed, c)
			}
		}
	}
	slices.SortFunc(changed, func(a, b Change) int { return strings.Compare(a.Resource, b.Resource) })
	return append(out, changed...)
}

// key tells the resources of a part of a configuration from others. One that is the same for two proxies is one message.
func (d *Differ) key(resources []proto.Message, is func(proto.Message) bool) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, m := range resources {
		if is(m) {
			maphash.WriteComparable(&h, m)
		}
	}
	return h.Sum64()
}

// focus is what differs between two configurations, of which requests are tried.
type focus struct {
	*Differ
	before, after *Config
	by            [2]*shortcut // through each
	resources     []Change
	listeners     map[string]bool            // that differ, or that need what differs
	hosts         map[string]map[string]bool // virtual hosts that differ, by route configuration; "" for all
	clusters      map[string]bool            // that differ, or whose servers or secrets do
}

// focus finds what differs.
func (d *Differ) focus(before, after Side, is func(proto.Message) bool) *focus {
	f := &focus{Differ: d, before: before.Config(), after: after.Config(), by: [2]*shortcut{newShortcut(), newShortcut()}, listeners: map[string]bool{}, hosts: map[string]map[string]bool{}, clusters: map[string]bool{}}
	a, b := named(before.Resources, is), named(after.Resources, is)
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case a[name] == b[name]:
		case a[name] == nil:
			f.add(name, nil, b[name], Difference{After: "added"})
		case b[name] == nil:
			f.add(name, a[name], nil, Difference{Before: "there", After: "removed"})
		case proto.Equal(a[name], b[name]):
		case isSecret(a[name]): // of which no value is told
			f.add(name, a[name], b[name], Difference{Before: "there", After: "changed"})
		default:
			f.add(name, a[name], b[name], fieldsOf(a[name], b[name])...)
		}
	}
	return f
}

// named gives resources by type and name.
func named(resources []proto.Message, is func(proto.Message) bool) map[string]proto.Message {
	out := map[string]proto.Message{}
	for _, m := range resources {
		if name := resourceName(m); name != "" && is(m) {
			out[name] = m
		}
	}
	return out
}

// tellEvery is how many requests are tried until it is told.
const tellEvery = 100

// try follows a request by both configurations.
func (f *focus) try(p probe) (a, b *Answer) {
	if f.Trials++; f.Tell != nil && f.Trials%tellEvery == 0 {
		f.Tell(fmt.Sprintf("compares proxies: %d requests tried", f.Trials))
	}
	for side, left := range p.left {
		f.by[side].narrow(left.of, left.routes)
	}
	hosts := [2]*Host{f.by[0].named(f.before, p.request), f.by[1].named(f.after, p.request)}
	was, is := f.before.arriving(p.request, hosts[0], hosts[1]), f.after.arriving(p.request, hosts[1], hosts[0])
	return f.before.follow(was, f.by[0]), f.after.follow(is, f.by[1])
}

// Answers lists what a configuration does with the requests that its routes and listeners name, for a proxy that was
// not there before.
func (d *Differ) Answers(side Side) []Change {
	f := d.focus(Side{Config: func() *Config { return NewConfig(nil) }}, side, isOutbound)
	var out []Change
	for _, p := range f.probes() {
		_, a := f.try(p)
		out = append(out, Change{Request: p.name, Differences: []Difference{{Before: "no such proxy", After: a.brief()}}, Is: &a.Outcome})
	}
	return out
}

// kind says of a resource what became of it.
func (c Change) kind() string {
	if len(c.Differences) == 1 && c.Differences[0].What == "" {
		return c.Differences[0].After
	}
	var names []string
	for _, d := range c.Differences {
		if !slices.Contains(names, d.What) {
			names = append(names, d.What)
		}
	}
	if len(names) == 0 {
		return "changed"
	}
	return fmt.Sprintf("changed (%s)", enumerated(names))
}

// sentence says differences one after the other.
func sentence(all []Difference) string {
	var out []string
	for _, d := range all {
		out = append(out, strings.TrimSpace(d.What+" "+orNone(d.Before)+" -> "+orNone(d.After)))
	}
	return strings.Join(out, "; ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
