package proxyconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// integer is a 32-bit number in protobuf's JSON, which may also be written as a string.
type integer int

// UnmarshalJSON implements json.Unmarshaler.
func (i *integer) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseInt(string(bytes.Trim(data, `"`)), 10, 32)
	if err != nil {
		return fmt.Errorf("%s is no whole number", data)
	}
	*i = integer(n)
	return nil
}

// duration is a duration in protobuf's JSON, seconds with a suffix such as "45s", or, as users
// also write it, any that Go reads, such as "1m30s".
type duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s is no duration such as \"45s\"", data)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no duration such as \"45s\"", s)
	}
	*d = duration(v)
	return nil
}

// Seconds reads such a duration as whole seconds, at least one.
func Seconds(text string) (int, error) {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is no duration such as \"45s\"", text)
	}
	return max(int(v/time.Second), 1), nil
}

// userKeyed are the fields whose keys are the user's own and no field names.
var userKeyed = map[string]bool{"proxyMetadata": true, "customTags": true, "runtimeValues": true}

// camelKeys gives a document with its field names in camel case: protobuf's JSON takes both
// discovery_address and discoveryAddress.
func camelKeys(doc map[string]any) map[string]any {
	out := make(map[string]any, len(doc))
	for k, v := range doc {
		name := camel(k)
		if _, both := doc[name]; both && name != k {
			continue // the JSON name wins over its alias, whatever the order
		}
		if inner, ok := v.(map[string]any); ok && !userKeyed[name] {
			v = camelKeys(inner)
		}
		out[name] = v
	}
	return out
}

func camel(name string) string {
	parts := strings.Split(name, "_")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}
