package operator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
)

// Problem is a setting that has no effect.
type Problem struct {
	Field, Reason string
}

// String gives the field and the reason.
func (p Problem) String() string { return p.Field + ": " + p.Reason }

// schema is the part of a JSON schema that says which values there are.
type schema struct {
	Ref                  string             `json:"$ref"` // to one of the root's definitions
	Definitions          map[string]*schema `json:"definitions"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
}

// unknown takes the values out that a chart has none of, and names each.
func unknown(chart, prefix string, values map[string]any) ([]Problem, error) {
	text, err := charts.Schema(chart)
	if err != nil {
		return nil, err
	}
	s := &schema{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("schema of chart %s: %w", chart, err)
	}
	return s.unknown(s, prefix, values), nil
}

func (s *schema) unknown(root *schema, path string, value any) []Problem {
	if of := root.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]; of != nil {
		return of.unknown(root, path, value)
	}
	var out []Problem
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			field := path + "." + name
			switch property := s.Properties[name]; {
			case property != nil:
				out = append(out, property.unknown(root, field, v[name])...)
			case string(s.AdditionalProperties) == "false":
				out = append(out, Problem{field, "no such value, or one that has no effect here"})
				delete(v, name)
			}
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				out = append(out, s.Items.unknown(root, fmt.Sprintf("%s[%d]", path, i), item)...)
			}
		}
	}
	return out
}
