package proxyconfig

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

type routeConfig struct {
	Name         string        `json:"name"`
	VirtualHosts []virtualHost `json:"virtualHosts"`
}

type virtualHost struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains"`
	Routes  []struct {
		Match    routeMatch     `json:"match"`
		Metadata configMetadata `json:"metadata"`
		Direct   *struct {
			Status int `json:"status"`
		} `json:"directResponse"`
		Action *struct {
			Cluster string `json:"cluster"`
		} `json:"route"`
	} `json:"routes"`
	RequireTLS string `json:"requireTls"`
}

type routeMatch struct {
	Path   string  `json:"path"`
	Prefix *string `json:"prefix"`
	Tree   string  `json:"pathSeparatedPrefix"`
	Regex  *struct {
		Regex string `json:"regex"`
	} `json:"safeRegex"`
	Connect *struct{} `json:"connectMatcher"`
	// CaseSensitive is nil for true.
	CaseSensitive *bool `json:"caseSensitive"`
	Headers       []struct {
		Name   string `json:"name"`
		Invert bool   `json:"invertMatch"`
	} `json:"headers"`
}

func (m routeMatch) String() string {
	s := ""
	switch {
	case m.Path != "":
		s = m.Path
	case m.Prefix != nil:
		s = *m.Prefix + "*"
	case m.Tree != "":
		s = m.Tree + "/*"
	case m.Regex != nil:
		s = "regex " + m.Regex.Regex
	case m.Connect != nil:
		s = "CONNECT"
	}
	if m.CaseSensitive != nil && !*m.CaseSensitive {
		s += " in any case"
	}
	for _, h := range m.Headers {
		s += ", "
		if h.Invert { // what withoutHeaders asks for
			s += "without "
		}
		s += h.Name
	}
	return s
}

// shownDomains gives the domains of a virtual host, the longest two forms left to "+ n more".
func shownDomains(domains []string) string {
	if len(domains) <= 2 {
		return strings.Join(domains, ", ")
	}
	return strings.Join(domains[:2], ", ") + " + " + strconv.Itoa(len(domains)-2) + " more..."
}

// PrintRoutes prints NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE, a row for each route; without
// verbose NAME, VIRTUAL HOSTS, a row for each route configuration. name chooses one of them, "" all.
func (d *Dump) PrintRoutes(w io.Writer, format Format, name string, verbose bool) error {
	chosen := slices.DeleteFunc(slices.Clone(d.Routes), func(r Resource) bool { return name != "" && r.Name != name })
	if format != Short {
		return messages(w, format, raws(chosen))
	}
	slices.SortStableFunc(chosen, func(a, b Resource) int { return cmp.Or(byNumber(a.Name, b.Name), strings.Compare(a.Name, b.Name)) })
	var rows [][]string
	for _, r := range chosen {
		var rc routeConfig
		if err := json.Unmarshal(r.Raw, &rc); err != nil {
			return err
		}
		if !verbose {
			rows = append(rows, []string{rc.Name, strconv.Itoa(len(rc.VirtualHosts))})
			continue
		}
		for _, vh := range rc.VirtualHosts {
			rows = append(rows, vh.rows(rc.Name)...)
		}
	}
	if !verbose {
		return table(w, 5, "NAME\tVIRTUAL HOSTS", rows)
	}
	return table(w, 5, "NAME\tVHOST NAME\tDOMAINS\tMATCH\tVIRTUAL SERVICE", rows)
}

func (vh *virtualHost) rows(config string) [][]string {
	domains := shownDomains(vh.Domains)
	if len(vh.Routes) == 0 {
		what := "404"
		if vh.RequireTLS != "" {
			what = "HTTPS redirect"
		}
		return [][]string{{config, vh.Name, domains, "/*", what}}
	}
	var rows [][]string
	for _, rt := range vh.Routes {
		service := rt.Metadata.object("virtual-service")
		if rt.Direct != nil {
			service = strings.TrimSpace(service + " " + strconv.Itoa(rt.Direct.Status))
		}
		rows = append(rows, []string{config, vh.Name, domains, rt.Match.String(), service})
	}
	return rows
}

// byNumber puts names that are port numbers in the order of the numbers, before all others.
func byNumber(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return 0
}
