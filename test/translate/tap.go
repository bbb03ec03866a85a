package translate

import (
	"encoding/json"
	"slices"
)

// withoutTap leaves out the logger of `pilotctl tap`, which is the same in all listeners and has a test of its
// own, so that cases show what is theirs.
func withoutTap(data []byte) ([]byte, error) {
	var message any
	if err := json.Unmarshal(data, &message); err != nil {
		return nil, err
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if logs, ok := v["access_log"].([]any); ok {
				logs = slices.DeleteFunc(logs, func(l any) bool { return l.(map[string]any)["name"] == "tap" })
				if v["access_log"] = logs; len(logs) == 0 {
					delete(v, "access_log")
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(message)
	return json.Marshal(message)
}
