package page

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
)

// maxRows is how many rows of a table are shown; a filter shows others.
const maxRows = 500

// overviewBody is the page that shows who calls whom.
type overviewBody struct {
	Namespace  string
	Namespaces []string
	Graph      traffic.Graph
	Drawing    drawing
	Edges      []traffic.Edge
	More       int // edges that are not shown
}

func (p *Page) overview(w http.ResponseWriter, r *http.Request) {
	b := overviewBody{Namespace: r.URL.Query().Get("namespace")}
	for _, c := range p.opts.Connections() {
		if !slices.Contains(b.Namespaces, c.Node.Namespace) {
			b.Namespaces = append(b.Namespaces, c.Node.Namespace)
		}
	}
	slices.Sort(b.Namespaces)
	b.Graph = p.opts.Traffic.Look(r.Context(), b.Namespace)
	b.Drawing = draw(b.Graph.Edges)
	b.Edges, b.More = firstRows(b.Graph.Edges)
	p.write(w, http.StatusOK, "overview", frame{Title: "Traffic", Here: "traffic", Refresh: 3, Body: b})
}

// firstRows gives the rows that are shown, and how many are not.
func firstRows[T any](rows []T) (shown []T, more int) {
	shown = rows[:min(len(rows), maxRows)]
	return shown, len(rows) - len(shown)
}

// matches tells whether one of the texts holds what a user asked for.
func matches(query string, texts ...string) bool {
	query = strings.ToLower(strings.TrimSpace(query))
	return query == "" || slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), query) })
}
