package bootstrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// ReadPodInfo reads labels or annotations from a file of the downward API. An absent file is an
// empty one: outside a cluster there is none.
func ReadPodInfo(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pod information: %w", err)
	}
	m, err := ParsePodInfo(string(data))
	if err != nil {
		return nil, fmt.Errorf("pod information: %s: %w", path, err)
	}
	return m, nil
}

// ParsePodInfo reads the downward API's format: a line key="value" for each entry, the value
// quoted as in Go.
func ParsePodInfo(text string) (map[string]string, error) {
	m := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, quoted, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("line %d: want key=\"value\"", i+1)
		}
		value, err := strconv.Unquote(strings.TrimSpace(quoted))
		if err != nil {
			return nil, fmt.Errorf("line %d: the value of %s is not quoted", i+1, key)
		}
		m[key] = value
	}
	return m, nil
}
