package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// prometheusPort names the variable with the port of Envoy's metrics.
const prometheusPort = "ENVOY_PROMETHEUS_PORT"

// variables reads typed values of the environment; what makes no sense is gathered in errs, so that
// all of it is told at once.
type variables struct {
	env  map[string]string
	errs []error
}

func (v *variables) text(name, otherwise string) string {
	if s := v.env[name]; s != "" {
		return s
	}
	return otherwise
}

func (v *variables) boolean(name string) bool {
	s := v.env[name]
	if s == "" {
		return false
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		v.errs = append(v.errs, fmt.Errorf("%s: %q is neither true nor false", name, s))
	}
	return b
}

func (v *variables) integer(name string, otherwise int) int {
	s := v.env[name]
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		v.errs = append(v.errs, fmt.Errorf("%s: %q is no whole number", name, s))
	}
	return int(n)
}

// number is a share from 0 to 1; 0 when unset.
func (v *variables) number(name string) float64 {
	s := v.env[name]
	if s == "" {
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		v.errs = append(v.errs, fmt.Errorf("%s: %q is no number from 0 to 1", name, s))
		return 0
	}
	return n
}

func (v *variables) duration(name, otherwise string) time.Duration {
	d, err := time.ParseDuration(v.text(name, otherwise))
	if err != nil || d < 0 {
		v.errs = append(v.errs, fmt.Errorf("%s: %q is no duration such as %s", name, v.env[name], otherwise))
	}
	return d
}

// prefixed gives the variables with a prefix, by the rest of their names.
func (v *variables) prefixed(prefix string) map[string]string {
	out := map[string]string{}
	for name, value := range v.env {
		if key, ok := strings.CutPrefix(name, prefix); ok && key != "" {
			out[key] = value
		}
	}
	return out
}
