package page

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// proxiesBody is the page of all proxies.
type proxiesBody struct {
	Query   string
	Proxies []proxyRow
	More    int
}

type proxyRow struct {
	Name, Type, Envoy, Agent, Identity string
	State                              string // the worst of its types
	Connected                          time.Time
}

// shownTypes are the types of a proxy's table, in its order.
var shownTypes = []resource.Type{resource.Clusters, resource.Listeners, resource.Endpoints, resource.Routes}

func (p *Page) proxies(w http.ResponseWriter, r *http.Request) {
	b := proxiesBody{Query: r.URL.Query().Get("q")}
	var rows []proxyRow
	for _, c := range p.opts.Connections() {
		if !matches(b.Query, c.Proxy(), string(c.Node.Type), c.Identity, string(worst(c))) {
			continue
		}
		rows = append(rows, proxyRow{
			Name: c.Proxy(), Type: string(c.Node.Type), Envoy: c.Node.EnvoyVersion, Agent: c.Node.IstioVersion, Identity: c.Identity,
			State: string(worst(c)), Connected: c.Connected,
		})
	}
	b.Proxies, b.More = firstRows(rows)
	p.write(w, http.StatusOK, proxiesPage, frame{Title: "Proxies", Here: proxiesPage, Refresh: 3, Body: b})
}

// worst gives the state of a proxy that most needs a look.
func worst(c xds.Connection) xds.State {
	out := xds.StateSynced
	for _, t := range shownTypes {
		switch s := c.Types[t].State; s {
		case xds.StateError:
			return s
		case xds.StateStale:
			out = s
		}
	}
	return out
}

// problemsBody is the page of what is not in effect.
type problemsBody struct {
	Query    string
	Problems []problemRow
	More     int
}

type problemRow struct {
	model.Problem
	Place string
	Link  *objectLink // nil where the problem is of a file
}

func (p *Page) problems(w http.ResponseWriter, r *http.Request) {
	b := problemsBody{Query: r.URL.Query().Get("q")}
	var rows []problemRow
	for _, one := range p.opts.Problems() {
		if matches(b.Query, one.String(), string(one.Severity)) {
			rows = append(rows, p.problemRow(one))
		}
	}
	slices.SortStableFunc(rows, func(a, b problemRow) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), a.Object.Compare(b.Object), strings.Compare(a.Field, b.Field))
	})
	b.Problems, b.More = firstRows(rows)
	p.write(w, http.StatusOK, problemsPage, frame{Title: "Problems", Here: problemsPage, Refresh: 3, Body: b})
}

func (p *Page) problemRow(one model.Problem) problemRow {
	row := problemRow{Problem: one, Place: place(one.Origin)}
	if one.Object != (model.Key{}) {
		row.Link = p.link(one.Object)
	}
	return row
}
