package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// state is what an Envoy runs, by name: JSON without what says when it came. Whatever is not in
// force has a name that tells so.
type state map[string]string

// stateOf reads what an Envoy runs.
func stateOf(e *envoytest.Envoy) (state, error) {
	var page struct {
		Configs []map[string]any `json:"configs"`
	}
	if err := e.Dump("/config_dump?include_eds", &page); err != nil {
		return nil, err
	}
	out := state{}
	for _, config := range page.Configs {
		for _, kind := range []string{
			"dynamic_active_clusters", "dynamic_warming_clusters", "dynamic_listeners", "dynamic_route_configs", "dynamic_endpoint_configs",
		} {
			all, _ := config[kind].([]any)
			for _, one := range all {
				name := kind + " " + nameOf(one)
				text, err := json.Marshal(timeless(one))
				if err != nil {
					return nil, err
				}
				out[name] = string(text)
			}
		}
	}
	return out, nil
}

// nameOf finds the name of a resource in its part of the page.
func nameOf(v any) string {
	m, _ := v.(map[string]any)
	for _, key := range []string{"name", "cluster_name"} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	for _, key := range []string{"cluster", "route_config", "endpoint_config"} {
		if inner, ok := m[key]; ok {
			return nameOf(inner)
		}
	}
	return ""
}

// timeless leaves out the times, and puts hosts into an order. Versions go as well: a listener that
// was updated in place shows that of its first one, as of Envoy 1.40.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "last_updated")
		delete(v, "version_info")
		for key, inner := range v {
			v[key] = timeless(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = timeless(inner)
		}
		if len(v) > 0 {
			if m, ok := v[0].(map[string]any); ok && (m["endpoint"] != nil || m["lb_endpoints"] != nil) {
				slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
		}
	}
	return v
}

// differs names the first thing in which two Envoys are not the same; empty where they are.
func (s state) differs(fresh state) string {
	if len(fresh) == 0 {
		return "the fresh one has nothing yet"
	}
	names := map[string]struct{}{}
	for n := range s {
		names[n] = struct{}{}
	}
	for n := range fresh {
		names[n] = struct{}{}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if s[n] != fresh[n] {
			return fmt.Sprintf("%s: it has\n%s\na fresh one has\n%s", n, s[n], fresh[n])
		}
	}
	return ""
}
