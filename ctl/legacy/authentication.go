package legacy

import (
	"fmt"
	"strconv"
)

// policy is a Policy or MeshPolicy of authentication.istio.io/v1alpha1.
type policy struct {
	meta
	Spec struct {
		Targets []struct {
			Name  string `json:"name"`
			Ports []struct {
				Number uint32 `json:"number"`
				Name   string `json:"name"`
			} `json:"ports"`
		} `json:"targets"`
		Peers []struct {
			MTLS *struct {
				AllowTLS bool   `json:"allowTls"`
				Mode     string `json:"mode"`
			} `json:"mtls"`
			JWT *legacyJWT `json:"jwt"`
		} `json:"peers"`
		PeerIsOptional bool `json:"peerIsOptional"`
		Origins        []struct {
			JWT *legacyJWT `json:"jwt"`
		} `json:"origins"`
		OriginIsOptional bool   `json:"originIsOptional"`
		PrincipalBinding string `json:"principalBinding"`
	} `json:"spec"`
}

type legacyJWT struct {
	Issuer       string   `json:"issuer"`
	Audiences    []string `json:"audiences"`
	JwksURI      string   `json:"jwksUri"`
	Jwks         string   `json:"jwks"`
	JwtHeaders   []string `json:"jwtHeaders"`
	JwtParams    []string `json:"jwtParams"`
	TriggerRules []struct {
		ExcludedPaths []stringMatch `json:"excludedPaths"`
		IncludedPaths []stringMatch `json:"includedPaths"`
	} `json:"triggerRules"`
}

type stringMatch struct {
	Exact  string `json:"exact"`
	Prefix string `json:"prefix"`
	Suffix string `json:"suffix"`
	Regex  string `json:"regex"`
}

// path gives the pattern of today; not ok for a regular expression, for which there is none.
func (m *stringMatch) path() (string, bool) {
	switch {
	case m.Exact != "":
		return m.Exact, true
	case m.Prefix != "":
		return m.Prefix + "*", true
	case m.Suffix != "":
		return "*" + m.Suffix, true
	}
	return "", false
}

// policy translates a Policy for each of its targets.
func (t *Translator) policy(p *policy) {
	namespace := p.namespace()
	if p.Kind == "MeshPolicy" {
		namespace = rootNamespace
	}
	if len(p.Spec.Targets) == 0 {
		t.authentication(p, namespace, p.Metadata.Name, nil, nil, nil)
	}
	for _, target := range p.Spec.Targets {
		labels, comment := t.workloads(namespace, target.Name)
		var comments []string
		if comment != "" {
			comments = append(comments, comment)
		}
		ports := []uint32{}
		for _, port := range target.Ports {
			number, known := t.containerPort(namespace, target.Name, port.Number, port.Name)
			if !known {
				comments = append(comments, fmt.Sprintf("CHECK: port %d %s of Service %s stands for a container's port that is not known here", port.Number, port.Name, target.Name))
			}
			if number != 0 {
				ports = append(ports, number)
			} else {
				comments = append(comments, "NO EQUAL: that port is left out; what is said of it holds for no port")
			}
		}
		name := p.Metadata.Name
		if len(p.Spec.Targets) > 1 {
			name += "-" + target.Name
		}
		if len(target.Ports) > 0 && len(ports) == 0 {
			t.say("%s: %s", &p.meta, "no port of target "+target.Name+" is known here; nothing stands for it")
			continue
		}
		t.authentication(p, namespace, name, labels, ports, comments)
	}
}

// containerPort finds which port of the pods a Service's port leads to.
func (t *Translator) containerPort(namespace, service string, number uint32, name string) (uint32, bool) {
	if svc := t.services[namespace+"/"+service]; svc != nil {
		for _, p := range svc.Spec.Ports {
			if number != 0 && uint32(p.Port) != number || number == 0 && p.Name != name {
				continue
			}
			if p.TargetPort.IntValue() > 0 {
				return uint32(p.TargetPort.IntValue()), true
			}
			if p.TargetPort.String() == "0" || p.TargetPort.String() == "" {
				return uint32(p.Port), true
			}
		}
	}
	return number, false
}

// authentication writes what a Policy says about some workloads, or all of a namespace.
func (t *Translator) authentication(p *policy, namespace, name string, labels map[string]string, ports []uint32, comments []string) {
	from := append([]string{"from " + p.String()}, comments...)
	mode := "DISABLE"
	tokens := []*legacyJWT{}
	for _, peer := range p.Spec.Peers {
		switch {
		case peer.JWT != nil:
			tokens = append(tokens, peer.JWT)
		case peer.MTLS != nil && (peer.MTLS.Mode == "PERMISSIVE" || peer.MTLS.AllowTLS) || p.Spec.PeerIsOptional:
			mode = "PERMISSIVE"
		default:
			mode = "STRICT"
		}
	}
	spec := map[string]any{"mtls": map[string]any{"mode": mode}}
	if len(ports) > 0 {
		levels := map[string]any{}
		for _, port := range ports {
			levels[strconv.FormatUint(uint64(port), 10)] = map[string]any{"mode": mode}
		}
		spec = map[string]any{"portLevelMtls": levels}
	}
	said := from
	if mode == "DISABLE" {
		said = append(said, "it asks for no mutual TLS, so servers take plain text only, as before; PERMISSIVE would take both")
	}
	t.add("PeerAuthentication", namespace, name, labels, spec, said...)
	for _, o := range p.Spec.Origins {
		if o.JWT != nil {
			tokens = append(tokens, o.JWT)
		}
	}
	if len(tokens) > 0 {
		t.tokens(p, namespace, name, labels, ports, tokens, from)
	}
}

// tokens writes how tokens are checked, and that there has to be one.
func (t *Translator) tokens(p *policy, namespace, name string, labels map[string]string, ports []uint32, tokens []*legacyJWT, from []string) {
	var rules, principals []any
	to := map[string]any{}
	said := from
	if p.Spec.PrincipalBinding == "USE_PEER" || p.Spec.PrincipalBinding == "" {
		said = append(said, "principalBinding has no equal: policies ask for principals of peers and of tokens apart")
	}
	var included, excluded []any
	everything := false
	for _, jwt := range tokens {
		rules, principals = append(rules, jwt.rule()), append(principals, jwt.Issuer+"/*")
		everything = everything || len(jwt.TriggerRules) == 0
		for _, r := range jwt.TriggerRules {
			everything = everything || len(r.IncludedPaths) == 0
			for _, m := range r.IncludedPaths {
				if path, ok := m.path(); ok {
					included = append(included, path)
				} else {
					everything, said = true, append(said, fmt.Sprintf("NO EQUAL: the included path of regular expression %q; a token is asked for on every path", m.Regex))
				}
			}
			for _, m := range r.ExcludedPaths {
				path, ok := m.path()
				if !ok {
					said = append(said, fmt.Sprintf("NO EQUAL: the excluded path of regular expression %q; a token is asked for there too", m.Regex))
				} else if len(tokens) == 1 && len(jwt.TriggerRules) == 1 {
					excluded = append(excluded, path)
				} else {
					said = append(said, fmt.Sprintf("NO EQUAL: the excluded path %s, of one rule among several; a token is asked for there too", path))
				}
			}
		}
	}
	t.add("RequestAuthentication", namespace, name, labels, map[string]any{"jwtRules": rules}, said...)
	if p.Spec.OriginIsOptional || len(p.Spec.Origins) == 0 && p.Spec.PeerIsOptional {
		return
	}
	if !everything && len(included) > 0 {
		to["paths"] = included
	}
	if len(excluded) > 0 {
		to["notPaths"] = excluded
	}
	if len(ports) > 0 {
		var list []string
		for _, port := range ports {
			list = append(list, strconv.FormatUint(uint64(port), 10))
		}
		setList(to, "ports", list)
	}
	rule := map[string]any{"from": []any{map[string]any{"source": map[string]any{"notRequestPrincipals": principals}}}}
	if len(to) > 0 {
		rule["to"] = []any{map[string]any{"operation": to}}
	}
	t.add("AuthorizationPolicy", namespace, name+"-tokens", labels, map[string]any{"action": "DENY", "rules": []any{rule}},
		"from "+p.String()+": a request without a valid token is refused, which a RequestAuthentication alone does not")
}

// rule gives the rule of a RequestAuthentication that checks the same tokens.
func (j *legacyJWT) rule() map[string]any {
	rule := map[string]any{"issuer": j.Issuer, "forwardOriginalToken": true}
	setList(rule, "audiences", j.Audiences)
	setList(rule, "fromParams", j.JwtParams)
	for key, value := range map[string]string{"jwksUri": j.JwksURI, "jwks": j.Jwks} {
		if value != "" {
			rule[key] = value
		}
	}
	var headers []any
	for _, h := range j.JwtHeaders {
		headers = append(headers, map[string]any{"name": h})
	}
	if len(headers) > 0 {
		rule["fromHeaders"] = headers
	}
	return rule
}

func setList(to map[string]any, key string, values []string) {
	if len(values) > 0 {
		to[key] = values
	}
}
