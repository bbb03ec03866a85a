package translate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// elementNames gives the names of a list's elements, or nil where not each has one of its own.
func elementNames(list []any) []string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		name := elementName(e)
		if name == "" || slices.Contains(out, name) {
			return nil
		}
		out = append(out, name)
	}
	return out
}

func elementName(e any) string {
	m, ok := e.(map[string]any)
	if !ok {
		return ""
	}
	if name, _ := m["name"].(string); name != "" {
		return short(name)
	}
	for _, key := range []string{"header", "endpoint", "address", "socket_address", "locality"} {
		if inner, ok := m[key].(map[string]any); ok {
			if key == "locality" {
				return strings.TrimRight(fmt.Sprintf("%v/%v/%v", inner["region"], inner["zone"], inner["sub_zone"]), "<nil>/")
			}
			return elementName(inner)
		}
	}
	if address, ok := m["address"].(string); ok && m["port_value"] != nil {
		return fmt.Sprintf("%s:%v", address, m["port_value"])
	}
	key, _ := m["key"].(string)
	return key
}

func indexes(n int) (out []string) {
	for i := range n {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// short gives a name of Envoy's without what all of them begin with.
func short(name string) string {
	if strings.HasPrefix(name, "envoy.") || strings.HasPrefix(name, "type.googleapis.com/") {
		return name[strings.LastIndexByte(name, '.')+1:]
	}
	return name
}

// flow gives a tree in one line.
func flow(v any) string {
	switch v := v.(type) {
	case map[string]any:
		if inner := v["filter_metadata"]; inner != nil && len(v) == 1 {
			return flow(inner)
		}
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch {
			case key == "@type":
			case key == "typed_config":
				parts = append(parts, flow(v[key]))
			default:
				parts = append(parts, short(key)+": "+flow(v[key]))
			}
		}
		kind, _ := v["@type"].(string)
		return short(kind) + "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, flow(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		if parts := strings.Split(v, "/"); strings.HasPrefix(v, "/apis/") && len(parts) == 8 {
			return strings.Join([]string{parts[6], parts[5], parts[7]}, "/") // the object that it comes from
		}
		if v == "" || strings.ContainsAny(v, ",\"\n{}") || strings.TrimSpace(v) != v {
			return strconv.Quote(v)
		}
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
