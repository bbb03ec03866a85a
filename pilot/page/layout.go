package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
)

// The measures of the drawing, in the units of its view box, which are pixels where there is room.
const (
	nodeWidth, nodeHeight = 188, 46
	columnGap, rowGap     = 104, 26
	margin                = 14
	// maxNodes is how many the drawing has at most; the table has all edges.
	maxNodes = 120
	// nodeText is how many characters of a name fit.
	nodeText = 21
)

// drawing is the graph with a place for everything.
type drawing struct {
	Width, Height         int
	NodeWidth, NodeHeight int
	Nodes                 []node
	Lines                 []line
	// Left is how many edges are not drawn.
	Left int
}

// node is a workload, or what is called where no workload of the mesh answers.
type node struct {
	X, Y                  int
	Name, Short           string
	Namespace, ShortSpace string
	Query                 string // of its proxies; "" for none
	Failing               bool
}

// line is an edge, from the right side of one node to the left side of another.
type line struct {
	Path           string
	LabelX, LabelY int
	Label, Detail  string
	Class          string // of its style
}

// end gives the node of one end of an edge: where nobody knows the workload, the service that was called.
func end(w traffic.Workload, service string) traffic.Workload {
	if w.Name == unknown && service != "" && service != unknown {
		return traffic.Workload{Name: service}
	}
	return w
}

const unknown = "unknown"

// drawn is an edge of the drawing: all that goes from one node to another.
type drawn struct {
	from, to traffic.Workload
	requests float64
	failed   float64 // a second
	p95      float64
	tcp      bool
	received float64
	security map[traffic.Security]bool
}

// draw gives every node a column, to the right of those that call it, and a row near them.
func draw(edges []traffic.Edge) drawing {
	merged, left := mergeEdges(edges)
	columns := columnsOf(merged)
	d := drawing{NodeWidth: nodeWidth, NodeHeight: nodeHeight}
	d.Left = left
	at := map[traffic.Workload]*node{}
	tallest := 0
	for _, c := range columns {
		tallest = max(tallest, len(c))
	}
	const step = nodeHeight + rowGap
	for x, column := range columns {
		offset := (tallest - len(column)) * step / 2
		for y, w := range column {
			at[w] = &node{
				X: margin + x*(nodeWidth+columnGap), Y: margin + offset + y*step, Name: w.Name, Short: shorten(w.Name),
				Namespace: w.Namespace, ShortSpace: cmp.Or(shorten(w.Namespace), "service"),
			}
			if w.Name != unknown && w.Namespace != "" && w.Namespace != unknown {
				at[w].Query = w.Name
			}
		}
	}
	for _, e := range merged {
		d.Lines = append(d.Lines, e.line(at[e.from], at[e.to]))
		at[e.to].Failing = at[e.to].Failing || e.failed > 0
	}
	for _, c := range columns {
		for _, w := range c {
			d.Nodes = append(d.Nodes, *at[w])
		}
	}
	if len(columns) > 0 {
		d.Width = 2*margin + len(columns)*(nodeWidth+columnGap) - columnGap
		d.Height = 2*margin + tallest*step - rowGap + loopHeight
	}
	return d
}

// loopHeight is the room for a line back, below the nodes.
const loopHeight = 18

func shorten(s string) string {
	r := []rune(s)
	if len(r) <= nodeText {
		return s
	}
	return string(r[:nodeText-1]) + "…"
}

// mergeEdges gives one edge for each pair of nodes, the busiest first as far as there is room for their nodes.
func mergeEdges(edges []traffic.Edge) (out []*drawn, left int) {
	type pair struct{ from, to traffic.Workload }
	found := map[pair]*drawn{}
	for _, e := range edges {
		p := pair{end(e.From, ""), end(e.To, e.Service)}
		d := found[p]
		if d == nil {
			d = &drawn{from: p.from, to: p.to, p95: -1, security: map[traffic.Security]bool{}, tcp: true}
			found[p] = d
			out = append(out, d)
		}
		d.requests += e.Requests
		d.failed += e.Requests * e.Failed
		d.p95 = max(d.p95, e.P95)
		d.received += e.Sent + e.Received
		d.tcp = d.tcp && e.Protocol == "tcp"
		d.security[e.Security] = true
	}
	slices.SortStableFunc(out, func(a, b *drawn) int { return cmp.Compare(b.requests, a.requests) })
	nodes := map[traffic.Workload]bool{}
	out = slices.DeleteFunc(out, func(d *drawn) bool {
		more := 0
		for _, w := range []traffic.Workload{d.from, d.to} {
			if !nodes[w] {
				more++
			}
		}
		if len(nodes)+more > maxNodes {
			left++
			return true
		}
		nodes[d.from], nodes[d.to] = true, true
		return false
	})
	return out, left
}

// columnsOf places nodes by the longest way to them, whereby a way that comes back to itself counts once,
// and within a column near those that call them.
func columnsOf(edges []*drawn) [][]traffic.Workload {
	next, callers := map[traffic.Workload][]traffic.Workload{}, map[traffic.Workload][]traffic.Workload{}
	column := map[traffic.Workload]int{}
	for _, e := range edges {
		column[e.from], column[e.to] = 0, 0
		if e.from != e.to {
			next[e.from] = append(next[e.from], e.to)
			callers[e.to] = append(callers[e.to], e.from)
		}
	}
	all := slices.SortedFunc(maps.Keys(column), compareWorkloads)
	// First those that nobody calls, so that a circle begins where something comes into it.
	starts := slices.Clone(all)
	slices.SortStableFunc(starts, func(a, b traffic.Workload) int { return cmp.Compare(min(len(callers[a]), 1), min(len(callers[b]), 1)) })
	forward := withoutCircles(starts, next)
	for changed := true; changed; { // it ends, since there is no circle
		changed = false
		for _, from := range all {
			for _, to := range forward[from] {
				if column[to] <= column[from] {
					column[to], changed = column[from]+1, true
				}
			}
		}
	}
	out := [][]traffic.Workload{}
	for _, w := range all {
		for len(out) <= column[w] {
			out = append(out, nil)
		}
		out[column[w]] = append(out[column[w]], w)
	}
	row := map[traffic.Workload]float64{}
	for _, c := range out {
		slices.SortStableFunc(c, func(a, b traffic.Workload) int { return cmp.Compare(middle(row, callers[a]), middle(row, callers[b])) })
		for i, w := range c {
			row[w] = float64(i) - float64(len(c)-1)/2
		}
	}
	return out
}

// withoutCircles gives the edges that do not lead back, as a walk from the starts finds them.
func withoutCircles(starts []traffic.Workload, next map[traffic.Workload][]traffic.Workload) map[traffic.Workload][]traffic.Workload {
	const under, done = 1, 2
	state, out := map[traffic.Workload]int{}, map[traffic.Workload][]traffic.Workload{}
	var walk func(w traffic.Workload)
	walk = func(w traffic.Workload) {
		state[w] = under
		for _, to := range next[w] {
			if state[to] == under {
				continue
			}
			out[w] = append(out[w], to)
			if state[to] == 0 {
				walk(to)
			}
		}
		state[w] = done
	}
	for _, w := range starts {
		if state[w] == 0 {
			walk(w)
		}
	}
	return out
}

// middle is the mean row of the callers that have one.
func middle(row map[traffic.Workload]float64, callers []traffic.Workload) float64 {
	sum, n := 0.0, 0.0
	for _, c := range callers {
		if r, ok := row[c]; ok {
			sum, n = sum+r, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

func compareWorkloads(a, b traffic.Workload) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (e *drawn) line(from, to *node) line {
	l := line{Class: "edge"}
	x1, y1 := from.X+nodeWidth, from.Y+nodeHeight/2
	x2, y2 := to.X, to.Y+nodeHeight/2
	if x2 > x1 {
		bend := columnGap / 2
		l.Path = fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2-5, y2)
		// Near its end lines from one node are apart.
		l.LabelX, l.LabelY = x2-columnGap/2+8, y2-(y2-y1)/4-6
	} else { // back, or to itself: below
		low := max(from.Y, to.Y) + nodeHeight + loopHeight
		l.Path = fmt.Sprintf("M%d %d C%d %d %d %d %d %d", from.X+nodeWidth/2, from.Y+nodeHeight, from.X+nodeWidth/2, low, to.X+nodeWidth/2, low, to.X+nodeWidth/2, to.Y+nodeHeight+5)
		l.LabelX, l.LabelY = (from.X+to.X+nodeWidth)/2, low
	}
	if e.failed > 0 {
		l.Class += " failing"
	} else if e.requests == 0 && e.received == 0 {
		l.Class += " quiet"
	}
	if e.security[traffic.Plaintext] || e.security[traffic.Mixed] {
		l.Class += " plain"
	}
	l.Label = rate(e.requests)
	if e.tcp {
		l.Label = amount(e.received) + "/s"
	}
	l.Detail = e.from.Name + " to " + e.to.Name + ": " + l.Label
	if e.failed > 0 {
		l.Detail += ", " + percent(e.failed/e.requests) + " failed"
		l.Label += " " + percent(e.failed/e.requests)
	}
	if e.p95 >= 0 {
		l.Detail += ", p95 " + millis(e.p95)
	}
	return l
}
