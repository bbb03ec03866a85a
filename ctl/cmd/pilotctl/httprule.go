package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// httpRule is a rule of a VirtualService, as far as it says which paths it is for.
type httpRule struct {
	Match []struct {
		URI           pathMatch `json:"uri"`
		IgnoreURICase bool      `json:"ignoreUriCase"`
	} `json:"match"`
	Delegate struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"delegate"`
}

// pathMatch is what a path is compared with; all empty for any path.
type pathMatch struct {
	Exact  string `json:"exact"`
	Prefix string `json:"prefix"`
	Regex  string `json:"regex"`
}

// mayTake tells whether a rule may be for a path, "" where nobody knows it. Headers and the like are passed over.
func (r httpRule) mayTake(path string) bool {
	if len(r.Match) == 0 || path == "" {
		return true
	}
	for _, m := range r.Match {
		uri, path := m.URI, path
		if m.IgnoreURICase {
			uri.Exact, uri.Prefix, path = strings.ToLower(uri.Exact), strings.ToLower(uri.Prefix), strings.ToLower(path)
		}
		if uri.takes(path) {
			return true
		}
	}
	return false
}

func (m pathMatch) takes(path string) bool {
	switch {
	case m.Exact != "":
		return m.Exact == path
	case m.Prefix != "":
		return strings.HasPrefix(path, m.Prefix)
	case m.Regex != "":
		form, err := regexp.Compile("^(?:" + m.Regex + ")$")
		return err != nil || form.MatchString(path)
	}
	return true
}

// ruleField is where a rule of a VirtualService stands.
var ruleField = regexp.MustCompile(`^spec\.http\[(\d+)\]`)

// rulesIn gives the rules of which a field of a VirtualService is a part: all, where it is of none.
func (m manifest) rulesIn(field string) (rules []httpRule, one bool) {
	if found := ruleField.FindStringSubmatch(field); found != nil {
		if i, err := strconv.Atoi(found[1]); err == nil && i < len(m.Spec.HTTP) {
			return m.Spec.HTTP[i : i+1], true
		}
	}
	return m.Spec.HTTP, false
}

// delegates tells whether a VirtualService has a rule for a path that another one completes.
func (m manifest) delegates(to model.Key, path string) bool {
	return slices.ContainsFunc(m.Spec.HTTP, func(r httpRule) bool {
		namespace := r.Delegate.Namespace
		if namespace == "" {
			namespace = m.key().Namespace
		}
		return r.Delegate.Name == to.Name && namespace == to.Namespace && r.mayTake(path)
	})
}
