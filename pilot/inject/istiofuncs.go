package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The functions of this file are those that templates for Istio call, and ours do not. They do what Istio's
// do, also where sprig has another function of the name.

// valueOrDefault takes nil and "" for nothing.
func valueOrDefault(value, fallback any) any {
	if value == nil || value == "" {
		return fallback
	}
	return value
}

// indent moves all lines but the first, which stands where the template has put it.
func indent(spaces int, text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", max(spaces, 0)))
}

func omit(m map[string]string, keys ...string) map[string]string {
	out := maps.Clone(m)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

// strdict makes a map of keys and values in turn; a last key without a value has "".
func strdict(keysAndValues ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(keysAndValues); i += 2 {
		value := ""
		if i+1 < len(keysAndValues) {
			value = keysAndValues[i+1]
		}
		out[keysAndValues[i]] = value
	}
	return out
}

// mergeMaps gives the entries of all maps; of one key the last counts.
func mergeMaps(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// omitNil gives a value without what is null, and without what has nothing left then.
func omitNil(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out, dropped := map[string]any{}, false
		for key, value := range v {
			if value = omitNil(value); value != nil {
				out[key] = value
			} else {
				dropped = true
			}
		}
		if dropped && len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out, dropped := []any{}, false
		for _, value := range v {
			if value = omitNil(value); value != nil {
				out = append(out, value)
			} else {
				dropped = true
			}
		}
		if dropped && len(out) == 0 {
			return nil
		}
		return out
	}
	return v
}

// appendMultusNetwork adds a network to the value of Multus' annotation k8s.v1.cni.cncf.io/networks, which
// is a list of names or JSON. What is no valid JSON is left alone.
func appendMultusNetwork(networks, name string) string {
	if strings.TrimSpace(networks) == "" {
		return name
	}
	end := strings.LastIndex(networks, "]")
	if end < 0 {
		for _, n := range strings.Split(networks, ",") {
			if strings.TrimSpace(n) == name {
				return networks
			}
		}
		return networks + ", " + name
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(networks), &list); err != nil {
		return networks
	}
	if slices.ContainsFunc(list, func(n map[string]any) bool { return n["name"] == name }) {
		return networks
	}
	separator := ", "
	if len(list) == 0 {
		separator = ""
	}
	return networks[:end] + separator + fmt.Sprintf(`{"name": %q}`, name) + networks[end:]
}
