package page

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// proxyBody is the page of one proxy.
type proxyBody struct {
	ID, Query string
	Found     bool
	Row       proxyRow
	Address   string
	Types     []typeRow

	Listeners                              []listenerRow
	Routes                                 []routeRow
	Clusters                               []clusterRow
	MoreListeners, MoreRoutes, MoreCluster int
}

type typeRow struct {
	Name, State, Error string
	Resources          int
	Since              time.Time
}

type listenerRow struct {
	Listener, Address, Match string
	// Route is the route configuration that a chain leads to, Cluster the cluster; one of them is set.
	Route, Cluster string
	Object         *objectLink
}

type routeRow struct {
	Config, Host, Domains, Match, Action string
	Object                               *objectLink
}

type clusterRow struct {
	Direction, Host, Subset, Type string
	Port                          string
	Object, Rule                  *objectLink
}

// proxy shows one proxy and what it has of what it was sent.
func (p *Page) proxy(w http.ResponseWriter, r *http.Request) {
	b := proxyBody{ID: r.URL.Query().Get("proxyID"), Query: r.URL.Query().Get("q")}
	status := http.StatusNotFound
	all := p.opts.Connections()
	for i := range slices.Backward(all) { // of two streams the newer one counts
		if all[i].Proxy() == b.ID {
			p.fill(&b, all[i])
			status = http.StatusOK
			break
		}
	}
	p.write(w, status, proxyPage, frame{Title: b.ID, Here: proxiesPage, Body: b})
}

func (p *Page) fill(b *proxyBody, c xds.Connection) {
	b.Found, b.Address = true, c.Peer
	b.Row = proxyRow{
		Name: c.Proxy(), Type: string(c.Node.Type), Envoy: c.Node.EnvoyVersion, Agent: c.Node.IstioVersion, Identity: c.Identity,
		State: string(worst(c)), Connected: c.Connected,
	}
	for _, t := range shownTypes {
		s := c.Types[t]
		b.Types = append(b.Types, typeRow{strings.ToUpper(t.String()), string(s.State), s.Error, s.Size, s.Since})
	}
	tables := tables{page: p, client: c.Node.Namespace, query: b.Query}
	for r := range c.Held() {
		tables.take(r)
	}
	slices.SortStableFunc(tables.clusters, func(a, b clusterRow) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Port, b.Port), strings.Compare(a.Subset, b.Subset))
	})
	b.Listeners, b.MoreListeners = firstRows(tables.listeners)
	b.Routes, b.MoreRoutes = firstRows(tables.routes)
	b.Clusters, b.MoreCluster = firstRows(tables.clusters)
}

// tables collects the rows of one proxy that match a query.
type tables struct {
	page          *Page
	client, query string
	listeners     []listenerRow
	routes        []routeRow
	clusters      []clusterRow
}

func (t *tables) take(r *resource.Resource) {
	switch r.Type {
	case resource.Clusters:
		if m := new(clusterv3.Cluster); r.Any().UnmarshalTo(m) == nil {
			t.cluster(m)
		}
	case resource.Listeners:
		if m := new(listenerv3.Listener); r.Any().UnmarshalTo(m) == nil {
			t.listener(m)
		}
	case resource.Routes:
		if m := new(routev3.RouteConfiguration); r.Any().UnmarshalTo(m) == nil {
			t.route(m)
		}
	}
}

func (t *tables) cluster(c *clusterv3.Cluster) {
	row := clusterRow{Host: c.GetName(), Type: c.GetType().String()}
	if custom := c.GetClusterType(); custom != nil {
		row.Type = custom.GetName()
	}
	if parts := strings.Split(c.GetName(), "|"); len(parts) == 4 {
		row.Direction, row.Port, row.Subset, row.Host = parts[0], parts[1], parts[2], cmp.Or(parts[3], "this pod")
		if parts[3] != "" {
			row.Object = t.page.linkOfHost(t.client, parts[3])
		}
	}
	row.Rule = t.page.linkOfPath(madeOf(c.GetMetadata()))
	if matches(t.query, c.GetName(), row.Object.text(), row.Rule.text()) {
		t.clusters = append(t.clusters, row)
	}
}

// madeOf gives the object that a resource came from.
func madeOf(m *core.Metadata) string {
	return m.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
}

// text is what a query is compared with.
func (l *objectLink) text() string {
	if l == nil {
		return ""
	}
	return l.Key.String() + " " + l.Place
}

func (t *tables) listener(l *listenerv3.Listener) {
	address := ""
	if a := l.GetAddress().GetSocketAddress(); a != nil {
		address = a.GetAddress() + ":" + strconv.Itoa(int(a.GetPortValue()))
	}
	chains := l.GetFilterChains()
	if l.GetDefaultFilterChain() != nil {
		chains = append(slices.Clone(chains), l.GetDefaultFilterChain())
	}
	for _, c := range chains {
		row := listenerRow{Listener: l.GetName(), Address: address, Match: matchOf(c.GetFilterChainMatch())}
		row.Route, row.Cluster = leadsTo(c)
		if _, host, found := cutLast(row.Cluster, "|"); found && host != "" {
			row.Object = t.page.linkOfHost(t.client, host)
		}
		if link := t.page.linkOfPath(madeOf(c.GetMetadata())); link != nil {
			row.Object = link
		}
		if matches(t.query, row.Listener, row.Address, row.Match, row.Route, row.Cluster, row.Object.text()) {
			t.listeners = append(t.listeners, row)
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// leadsTo tells where a filter chain leads: to a route configuration or to a cluster.
func leadsTo(c *listenerv3.FilterChain) (route, cluster string) {
	for _, f := range c.GetFilters() {
		var manager hcm.HttpConnectionManager
		var proxy tcp.TcpProxy
		switch config := f.GetTypedConfig(); {
		case config.MessageIs(&manager) && config.UnmarshalTo(&manager) == nil:
			if rds := manager.GetRds(); rds != nil {
				return rds.GetRouteConfigName(), ""
			}
			return manager.GetRouteConfig().GetName(), ""
		case config.MessageIs(&proxy) && config.UnmarshalTo(&proxy) == nil:
			var names []string
			for _, w := range proxy.GetWeightedClusters().GetClusters() {
				names = append(names, w.GetName()+" "+strconv.Itoa(int(w.GetWeight())))
			}
			return "", cmp.Or(proxy.GetCluster(), strings.Join(names, ", "))
		}
	}
	return "", ""
}

// matchOf says in words what a filter chain is for.
func matchOf(m *listenerv3.FilterChainMatch) string {
	var parts []string
	add := func(name string, values ...string) {
		if values = slices.DeleteFunc(values, func(s string) bool { return s == "" }); len(values) > 0 {
			parts = append(parts, name+" "+strings.Join(values, ", "))
		}
	}
	add("SNI", m.GetServerNames()...)
	add("transport", m.GetTransportProtocol())
	add("protocol", m.GetApplicationProtocols()...)
	for _, r := range m.GetPrefixRanges() {
		add("to", r.GetAddressPrefix()+"/"+strconv.Itoa(int(r.GetPrefixLen().GetValue())))
	}
	if port := m.GetDestinationPort(); port != nil {
		add("port", strconv.Itoa(int(port.GetValue())))
	}
	return cmp.Or(strings.Join(parts, "; "), "everything")
}

func (t *tables) route(rc *routev3.RouteConfiguration) {
	for _, vh := range rc.GetVirtualHosts() {
		for _, r := range vh.GetRoutes() {
			action, host := actionOf(r)
			row := routeRow{
				Config: rc.GetName(), Host: vh.GetName(), Domains: strings.Join(vh.GetDomains(), ", "), Match: routeMatch(r.GetMatch()), Action: action,
				Object: t.page.linkOfPath(madeOf(r.GetMetadata())),
			}
			if row.Object == nil && host != "" {
				row.Object = t.page.linkOfHost(t.client, host)
			}
			if matches(t.query, row.Config, row.Domains, row.Match, row.Action, row.Object.text()) {
				t.routes = append(t.routes, row)
			}
		}
	}
}

// actionOf says in words what a route does, and gives the host of the first cluster that it leads to.
func actionOf(r *routev3.Route) (text, host string) {
	switch a := r.GetAction().(type) {
	case *routev3.Route_Route:
		name := a.Route.GetCluster()
		if weighted := a.Route.GetWeightedClusters().GetClusters(); len(weighted) > 0 {
			var names []string
			for _, w := range weighted {
				names = append(names, strconv.Itoa(int(w.GetWeight().GetValue()))+" "+w.GetName())
			}
			name, text = weighted[0].GetName(), strings.Join(names, ", ")
		}
		_, host, _ = cutLast(name, "|")
		return cmp.Or(text, name, "by header "+a.Route.GetClusterHeader()), host
	case *routev3.Route_Redirect:
		return "redirect to " + cmp.Or(a.Redirect.GetHostRedirect(), a.Redirect.GetPathRedirect(), a.Redirect.GetSchemeRedirect(), "another port"), ""
	case *routev3.Route_DirectResponse:
		return "answers " + strconv.Itoa(int(a.DirectResponse.GetStatus())), ""
	}
	return "nothing", ""
}

// routeMatch says in words which requests a route is for.
func routeMatch(m *routev3.RouteMatch) string {
	text := "every path"
	switch s := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		text = s.Path
	case *routev3.RouteMatch_Prefix:
		if s.Prefix != "/" {
			text = s.Prefix + "*"
		}
	case *routev3.RouteMatch_PathSeparatedPrefix:
		text = s.PathSeparatedPrefix + "/*"
	case *routev3.RouteMatch_SafeRegex:
		text = "regex " + s.SafeRegex.GetRegex()
	case *routev3.RouteMatch_ConnectMatcher_:
		text = "CONNECT"
	}
	for _, h := range m.GetHeaders() {
		text += ", header " + h.GetName()
	}
	for _, q := range m.GetQueryParameters() {
		text += ", parameter " + q.GetName()
	}
	return text
}
