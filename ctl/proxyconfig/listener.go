package proxyconfig

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ListenerFilter chooses listeners; zero fields choose all. Type is HTTP, TCP or HTTP+TCP.
type ListenerFilter struct {
	Address, Type string
	Port          int
}

type listener struct {
	Address     address       `json:"address"`
	Additional  []addressOf   `json:"additionalAddresses"`
	Chains      []filterChain `json:"filterChains"`
	Default     *filterChain  `json:"defaultFilterChain"`
	OriginalDst bool          `json:"useOriginalDst"`
}

type addressOf struct {
	Address address `json:"address"`
}

type filterChain struct {
	Name    string           `json:"name"`
	Match   filterChainMatch `json:"filterChainMatch"`
	Filters []filter         `json:"filters"`
}

type filterChainMatch struct {
	DestinationPort int `json:"destinationPort"`
	PrefixRanges    []struct {
		Address string `json:"addressPrefix"`
		Length  int    `json:"prefixLen"`
	} `json:"prefixRanges"`
	ServerNames          []string `json:"serverNames"`
	TransportProtocol    string   `json:"transportProtocol"`
	ApplicationProtocols []string `json:"applicationProtocols"`
}

func (m *filterChainMatch) String() string {
	var parts []string
	if len(m.ServerNames) > 0 {
		parts = append(parts, "SNI: "+strings.Join(m.ServerNames, ","))
	}
	if m.TransportProtocol != "" {
		parts = append(parts, "Trans: "+m.TransportProtocol)
	}
	if len(m.ApplicationProtocols) > 0 {
		parts = append(parts, "App: "+strings.Join(m.ApplicationProtocols, ","))
	}
	port := ""
	if m.DestinationPort != 0 {
		port = ":" + strconv.Itoa(m.DestinationPort)
	}
	var addresses []string
	for _, r := range m.PrefixRanges {
		a := r.Address
		if r.Length < 32 {
			a += "/" + strconv.Itoa(r.Length)
		}
		addresses = append(addresses, a+port)
	}
	if len(addresses) == 0 && port != "" {
		addresses = []string{"*" + port}
	}
	if len(addresses) > 0 {
		parts = append(parts, "Addr: "+strings.Join(addresses, ","))
	}
	if len(parts) == 0 {
		return "ALL"
	}
	return strings.Join(parts, "; ")
}

type filter struct {
	Typed filterConfig `json:"typedConfig"`
}

// filterConfig holds what is shown of an HTTP connection manager, of a TCP proxy or of an RBAC filter.
type filterConfig struct {
	Type        string           `json:"@type"`
	Inline      *routeConfig     `json:"routeConfig"`
	RDS         *rds             `json:"rds"`
	Cluster     string           `json:"cluster"`
	Weighted    *weightedCluster `json:"weightedClusters"`
	HTTPFilters json.RawMessage  `json:"httpFilters"`
	// Of an RBAC filter:
	Rules  *rbacRules `json:"rules"`
	Shadow *rbacRules `json:"shadowRules"`
}

type rds struct {
	Name string `json:"routeConfigName"`
}

type weightedCluster struct {
	Clusters []struct {
		Name   string `json:"name"`
		Weight int    `json:"weight"`
	} `json:"clusters"`
}

func (f *filter) isHTTP() bool { return strings.HasSuffix(f.Typed.Type, ".HttpConnectionManager") }
func (f *filter) isTCP() bool  { return strings.HasSuffix(f.Typed.Type, ".TcpProxy") }

// destination tells where a filter chain leads.
func (c *filterChain) destination() string {
	for i := range c.Filters {
		f := &c.Filters[i]
		switch {
		case f.isHTTP() && f.Typed.RDS != nil:
			return "Route: " + f.Typed.RDS.Name
		case f.isHTTP() && f.Typed.Inline != nil:
			return f.Typed.Inline.destination()
		case f.isTCP() && f.Typed.Weighted != nil:
			var parts []string
			for _, wc := range f.Typed.Weighted.Clusters {
				parts = append(parts, wc.Name+"["+strconv.Itoa(wc.Weight)+"]")
			}
			return "Weighted Clusters: " + strings.Join(parts, ", ")
		case f.isTCP():
			return shownCluster(f.Typed.Cluster)
		}
	}
	return "Non-HTTP/Non-TCP"
}

// shownCluster gives a cluster's name, which for the special ones says that it is one.
func shownCluster(name string) string {
	if strings.Contains(name, "Cluster") {
		return name
	}
	return "Cluster: " + name
}

// destination tells where the routes of a listener's own configuration lead: to the one cluster to
// which everything goes, else what they match.
func (rc *routeConfig) destination() string {
	if name := rc.onlyCluster(); name != "" {
		return shownCluster(name)
	}
	var hosts []string
	for _, vh := range rc.VirtualHosts {
		var matches []string
		for _, rt := range vh.Routes {
			matches = append(matches, rt.Match.String())
		}
		domains := ""
		if !slices.Equal(vh.Domains, []string{"*"}) {
			domains = strings.Join(vh.Domains, "/") + " "
		}
		hosts = append(hosts, domains+strings.Join(matches, ", "))
	}
	return "Inline Route: " + strings.Join(hosts, "; ")
}

// onlyCluster gives the cluster to which every route leads, whatever it matches; "" where they differ
// or one leads elsewhere.
func (rc *routeConfig) onlyCluster() string {
	name := ""
	for _, vh := range rc.VirtualHosts {
		for _, rt := range vh.Routes {
			if rt.Action == nil || rt.Action.Cluster == "" || name != "" && name != rt.Action.Cluster {
				return ""
			}
			name = rt.Action.Cluster
		}
	}
	return name
}

// kind gives HTTP, TCP, HTTP+TCP or UNKNOWN, as the listener's filters say.
func (l *listener) kind() string {
	http, tcp := false, false
	for _, c := range l.allChains() {
		for i := range c.Filters {
			http, tcp = http || c.Filters[i].isHTTP(), tcp || c.Filters[i].isTCP()
		}
	}
	switch {
	case http && tcp:
		return "HTTP+TCP"
	case http:
		return "HTTP"
	case tcp:
		return "TCP"
	}
	return "UNKNOWN"
}

func (l *listener) allChains() []filterChain {
	if l.Default != nil {
		return append(slices.Clone(l.Chains), *l.Default)
	}
	return l.Chains
}

func (l *listener) addresses() (string, int) {
	all := []string{}
	port := 0
	for _, a := range append([]addressOf{{l.Address}}, l.Additional...) {
		if a.Address.Socket != nil {
			all, port = append(all, a.Address.Socket.Address), a.Address.Socket.PortValue
		} else {
			all = append(all, a.Address.String())
		}
	}
	return strings.Join(all, ","), port
}

func (f ListenerFilter) matches(l *listener) bool {
	addr, port := l.addresses()
	return (f.Address == "" || slices.Contains(strings.Split(addr, ","), f.Address)) &&
		(f.Port == 0 || f.Port == port) && (f.Type == "" || strings.EqualFold(f.Type, l.kind()))
}

// PrintListeners prints ADDRESSES, PORT, MATCH, DESTINATION, a row for each filter chain; without
// verbose ADDRESSES, PORT, TYPE, a row for each listener.
func (d *Dump) PrintListeners(w io.Writer, format Format, filter ListenerFilter, verbose bool) error {
	type row struct {
		r    Resource
		l    listener
		addr string
		port int
	}
	var chosen []row
	for _, r := range d.Listeners {
		x := row{r: r}
		if err := json.Unmarshal(r.Raw, &x.l); err != nil {
			return err
		}
		if !filter.matches(&x.l) {
			continue
		}
		x.addr, x.port = x.l.addresses()
		chosen = append(chosen, x)
	}
	if format != Short {
		var out []json.RawMessage
		for _, x := range chosen {
			out = append(out, x.r.Raw)
		}
		return messages(w, format, out)
	}
	slices.SortStableFunc(chosen, func(a, b row) int { return cmp.Or(cmp.Compare(a.port, b.port), strings.Compare(a.addr, b.addr)) })
	var rows [][]string
	for _, x := range chosen {
		if !verbose {
			rows = append(rows, []string{x.addr, strconv.Itoa(x.port), x.l.kind()})
			continue
		}
		for _, c := range x.l.allChains() {
			rows = append(rows, []string{x.addr, strconv.Itoa(x.port), c.Match.String(), c.destination()})
		}
	}
	if !verbose {
		return table(w, 5, "ADDRESSES\tPORT\tTYPE", rows)
	}
	return table(w, 1, "ADDRESSES\tPORT\tMATCH\tDESTINATION", rows)
}
