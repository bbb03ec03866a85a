package explain

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
)

// choicesMost bounds how many requests to a virtual host are looked at.
const choicesMost = 4000

// rules are the routes of a virtual host before and after, one list after the other.
type rules struct {
	all   []*routev3.Route
	after int // where the second list begins
	hot   witness.Bits
	made  []witness.Text // paths, by the routes whose paths they are
}

// routed gives a probe for each pair of routes, before and after, that can be the first to match and of which one
// differs or leads to what differs.
func (f *focus) routed(r Request, both [2]*routev3.VirtualHost, everything bool) []probe {
	t := f.rules(both[0].GetRoutes(), both[1].GetRoutes(), everything)
	if len(t.all) == 0 {
		r.Path = "/"
		return []probe{{name: r.line(), request: r}}
	}
	fields, set := t.fields(r)
	known := t.bits(func(m *routev3.RouteMatch) bool { return unknownCondition(m) == "" })
	var out []probe
	add := func(q Request, left []int) {
		out = append(out, probe{name: q.line(), request: q, left: t.narrowed(both, left)})
	}
	seen := map[[2]int]bool{}
	for _, c := range witness.Combine(fields, known, t.hot.Meets, choicesMost) {
		left := slices.Collect(c.Rules.From(0))
		pair := t.firsts(left)
		if seen[pair] || !t.isHot(pair[0]) && !t.isHot(pair[1]) {
			continue
		}
		seen[pair] = true
		q := r
		q.Header, q.Path = http.Header{}, "/"
		for i, at := range c.Values {
			set[i](&q, at)
		}
		add(q, left)
		for _, i := range pair {
			if i < 0 {
				continue
			}
			for _, preflight := range crossOrigin(q, t.all[i]) { // of which all routes of the path may be the first
				add(preflight, t.made[c.Values[0]].Met)
			}
		}
	}
	return out
}

// rules puts routes before and after together; with everything all of them count as different.
func (f *focus) rules(a, b []*routev3.Route, everything bool) *rules {
	t := &rules{all: slices.Concat(a, b), after: len(a)}
	head, tail := common(a, b)
	t.hot = witness.NewBits(len(t.all), func(i int) bool {
		own, n := i, len(a)
		if i >= t.after {
			own, n = i-t.after, len(b)
		}
		return everything || own >= head && own < n-tail || f.leadsRoute(t.all[i])
	})
	return t
}

// common counts the routes that two lists begin and end with alike.
func common(a, b []*routev3.Route) (head, tail int) {
	n := min(len(a), len(b))
	for head < n && proto.Equal(a[head], b[head]) {
		head++
	}
	for tail < n-head && proto.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	return head, tail
}

func (t *rules) isHot(i int) bool { return i >= 0 && t.hot.Has(i) }

// firsts gives the first route before and after of those that are left; -1 for none.
func (t *rules) firsts(left []int) [2]int {
	out := [2]int{-1, -1}
	at, _ := slices.BinarySearch(left, t.after)
	if at > 0 {
		out[0] = left[0]
	}
	if at < len(left) {
		out[1] = left[at]
	}
	return out
}

// narrowed gives the routes that are left of either virtual host.
func (t *rules) narrowed(both [2]*routev3.VirtualHost, left []int) [2]routesLeft {
	out := [2]routesLeft{{of: both[0]}, {of: both[1]}}
	for _, i := range left {
		side := 0
		if i >= t.after {
			side = 1
		}
		out[side].routes = append(out[side].routes, t.all[i])
	}
	return out
}

func (t *rules) bits(is func(*routev3.RouteMatch) bool) witness.Bits {
	return witness.NewBits(len(t.all), func(i int) bool { return is(t.all[i].GetMatch()) })
}

// fields gives what routes have conditions on, and how a value of each is put into a request.
func (t *rules) fields(r Request) (fields []witness.Field, set []func(*Request, int)) {
	add := func(f witness.Field, how func(*Request, int)) { fields, set = append(fields, f), append(set, how) }
	t.made = t.paths()
	add(t.byPath, func(r *Request, at int) { r.Path = t.made[at].Value })
	for _, name := range t.headerNames() {
		header := &asked{
			about: t.bits(func(m *routev3.RouteMatch) bool {
				return name == "content-type" && m.GetGrpc() != nil || slices.ContainsFunc(m.GetHeaders(), func(h *routev3.HeaderMatcher) bool { return strings.EqualFold(h.GetName(), name) })
			}),
			values: func(some []int) []*string { return t.headerValues(name, some, r) },
			holds:  func(i int, v *string) bool { return headersHold(t.all[i].GetMatch(), name, v) },
		}
		add(header.told, func(r *Request, at int) { setHeader(r, name, header.made[at]) })
	}
	for _, name := range t.queryNames() {
		query := &asked{
			about: t.bits(func(m *routev3.RouteMatch) bool {
				return slices.ContainsFunc(m.GetQueryParameters(), func(q *routev3.QueryParameterMatcher) bool { return q.GetName() == name })
			}),
			values: func(some []int) []*string { return t.queryValues(name, some) },
			holds:  func(i int, v *string) bool { return queryHolds(t.all[i].GetMatch(), name, v) },
		}
		add(query.told, func(r *Request, at int) { addQuery(r, name, query.made[at]) })
	}
	if tokens := t.tokens(); len(tokens) > 1 {
		var holds []witness.Bits
		for _, claims := range tokens {
			x := &exchange{path: "/", claims: map[string]any{ir.TokenPayload: claims}}
			holds = append(holds, t.bits(func(m *routev3.RouteMatch) bool {
				return x.miss(&routev3.RouteMatch{PathSpecifier: anyPath, DynamicMetadata: m.GetDynamicMetadata()}) == ""
			}))
		}
		add(witness.Fixed(holds), func(r *Request, at int) { r.Claims = tokens[at] })
	}
	return fields, set
}

// byPath is the field of paths.
func (t *rules) byPath(left witness.Bits) iter.Seq2[int, witness.Bits] {
	return func(yield func(int, witness.Bits) bool) {
		for at, path := range t.made {
			if !yield(at, left.And(witness.Of(len(t.all), path.Met...))) {
				return
			}
		}
	}
}

// asked is something with a text that some of the routes ask for. Its values are made of what the routes ask for that are
// left, of which there are few where others tell the routes apart already.
type asked struct {
	about  witness.Bits // the routes that ask for it
	values func(routes []int) []*string
	holds  func(route int, value *string) bool
	made   []*string // all values so far
	known  map[witness.Bits][]excluding
}

// excluding is a value, by its place, with the routes that it leaves out.
type excluding struct {
	at  int
	not []int
}

// told is the field.
func (f *asked) told(left witness.Bits) iter.Seq2[int, witness.Bits] {
	concerned := left.And(f.about)
	all, ok := f.known[concerned]
	if !ok {
		routes := slices.Collect(concerned.From(0))
		for _, v := range f.values(routes) {
			not := slices.DeleteFunc(slices.Clone(routes), func(i int) bool { return f.holds(i, v) })
			all = append(all, excluding{len(f.made), not})
			f.made = append(f.made, v)
		}
		if f.known == nil {
			f.known = map[witness.Bits][]excluding{}
		}
		f.known[concerned] = all
	}
	return func(yield func(int, witness.Bits) bool) {
		for _, v := range all {
			if !yield(v.at, left.Without(v.not...)) {
				return
			}
		}
	}
}

var anyPath = &routev3.RouteMatch_Prefix{Prefix: "/"}

// unknownCondition says what of a match cannot be met here.
func unknownCondition(m *routev3.RouteMatch) string {
	x := &exchange{path: "/", headers: map[string]string{"content-type": "application/grpc"}}
	rest := &routev3.RouteMatch{
		PathSpecifier: anyPath, Grpc: m.GetGrpc(), TlsContext: m.GetTlsContext(), RuntimeFraction: m.GetRuntimeFraction(),
		FilterState: m.GetFilterState(), Cookies: m.GetCookies(),
	}
	return x.miss(rest)
}
