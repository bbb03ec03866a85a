package legacy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

type serviceRole struct {
	meta
	Spec struct {
		Rules []accessRule `json:"rules"`
	} `json:"spec"`
}

type accessRule struct {
	Services    []string `json:"services"`
	Hosts       []string `json:"hosts"`
	NotHosts    []string `json:"notHosts"`
	Paths       []string `json:"paths"`
	NotPaths    []string `json:"notPaths"`
	Methods     []string `json:"methods"`
	NotMethods  []string `json:"notMethods"`
	Ports       []uint32 `json:"ports"`
	NotPorts    []uint32 `json:"notPorts"`
	Constraints []struct {
		Key    string   `json:"key"`
		Values []string `json:"values"`
	} `json:"constraints"`
}

// translate gives what a rule lets be done, and to which workloads; a complaint where there is no equal to part
// of it, without which it would allow more.
func (r *accessRule) translate() (operation map[string]any, when []any, labels map[string]string, complaint string) {
	operation, labels = map[string]any{}, map[string]string{}
	setList(operation, "hosts", r.Hosts)
	setList(operation, "notHosts", r.NotHosts)
	setList(operation, "notPaths", r.NotPaths)
	setList(operation, "notMethods", r.NotMethods)
	if !slices.Contains(r.Paths, "*") {
		setList(operation, "paths", r.Paths)
	}
	if !slices.Contains(r.Methods, "*") {
		setList(operation, "methods", r.Methods)
	}
	setList(operation, "ports", numbers(r.Ports))
	setList(operation, "notPorts", numbers(r.NotPorts))
	for _, c := range r.Constraints {
		label, isLabel := bracketed(c.Key, "destination.labels")
		switch {
		case isLabel && len(c.Values) == 1 && !strings.Contains(c.Values[0], "*"):
			labels[label] = c.Values[0]
		case isLabel:
			return nil, nil, nil, fmt.Sprintf("constraint %s has several values, or one with *, and a selector has one for each label; write a policy for each", c.Key)
		case c.Key == "destination.port" || c.Key == "destination.ip" || strings.HasPrefix(c.Key, "request.headers[") || c.Key == "connection.sni" || strings.HasPrefix(c.Key, "experimental.envoy.filters."):
			when = append(when, map[string]any{"key": c.Key, "values": c.Values})
		default:
			return nil, nil, nil, fmt.Sprintf("constraint %s; write a selector or a condition", c.Key)
		}
	}
	return operation, when, labels, ""
}

func numbers(list []uint32) []string {
	var out []string
	for _, n := range list {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

// bracketed gives what is in the brackets after a name.
func bracketed(key, name string) (string, bool) {
	inner, ok := strings.CutPrefix(key, name+"[")
	return strings.TrimSuffix(inner, "]"), ok && strings.HasSuffix(inner, "]")
}

type roleBinding struct {
	meta
	Spec struct {
		Subjects []subject `json:"subjects"`
		RoleRef  struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"roleRef"`
		Role string `json:"role"`
		Mode string `json:"mode"`
	} `json:"spec"`
}

func (b *roleBinding) roleName() string {
	if b.Spec.Role != "" {
		return b.Spec.Role
	}
	return b.Spec.RoleRef.Name
}

func (b *roleBinding) of(r *serviceRole) bool {
	return b.namespace() == r.namespace() && b.roleName() == r.Metadata.Name
}

type subject struct {
	User          string            `json:"user"`
	Group         string            `json:"group"`
	Names         []string          `json:"names"`
	NotNames      []string          `json:"notNames"`
	Groups        []string          `json:"groups"`
	NotGroups     []string          `json:"notGroups"`
	Namespaces    []string          `json:"namespaces"`
	NotNamespaces []string          `json:"notNamespaces"`
	IPs           []string          `json:"ips"`
	NotIPs        []string          `json:"notIps"`
	Properties    map[string]string `json:"properties"`
}

// who is a subject as rules have it.
type who struct {
	source map[string]any
	when   []any
}

// sourceFields are the properties that a source has a list for.
var sourceFields = map[string]string{
	"source.principal": "principals", "source.namespace": "namespaces", "source.ip": "ipBlocks", "request.auth.principal": "requestPrincipals",
}

// translate gives a complaint where there is no equal to part of a subject, without which it would be more.
func (s *subject) translate() (_ *who, complaint string) {
	out := &who{source: map[string]any{}}
	lists := map[string][]string{
		"principals": s.Names, "notPrincipals": s.NotNames, "namespaces": s.Namespaces, "notNamespaces": s.NotNamespaces,
		"ipBlocks": s.IPs, "notIpBlocks": s.NotIPs,
	}
	if s.User != "" && s.User != "*" {
		if len(s.Names) > 0 {
			return nil, "it has both user and names"
		}
		lists["principals"] = []string{s.User}
	}
	empty := s.User == "" && s.Group == "" && len(s.Groups)+len(s.NotGroups)+len(s.Properties) == 0
	for _, list := range lists {
		empty = empty && len(list) == 0
	}
	if empty {
		return nil, "it names nobody"
	}
	groups := map[string]any{}
	if s.Group != "" {
		s.Groups = append(slices.Clone(s.Groups), s.Group)
	}
	setList(groups, "values", s.Groups)
	setList(groups, "notValues", s.NotGroups)
	if len(groups) > 0 {
		groups["key"] = "request.auth.claims[groups]"
		out.when = append(out.when, groups)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		value := s.Properties[key]
		field, isSource := sourceFields[key]
		switch {
		case isSource && len(lists[field]) > 0:
			return nil, fmt.Sprintf("it says %s twice", key)
		case isSource:
			lists[field] = []string{value}
		case strings.HasPrefix(key, "request.headers[") || strings.HasPrefix(key, "request.auth."):
			out.when = append(out.when, map[string]any{"key": key, "values": []string{value}})
		default:
			return nil, "property " + key
		}
	}
	for field, list := range lists {
		if field != "ipBlocks" && field != "notIpBlocks" && slices.Contains(list, "*") && !strings.HasPrefix(field, "not") {
			list = []string{"*"}
		}
		setList(out.source, field, list)
	}
	return out, ""
}
