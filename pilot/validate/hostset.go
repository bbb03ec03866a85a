package validate

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hostSet is hosts and wildcards, in which those that cover another one, or that it covers, are found without looking
// at all.
type hostSet struct {
	hosts map[string]string // as they were written, by their canonical forms
	below map[string]string // those that end in a suffix; "" is one of all hosts
}

func newHostSet() *hostSet { return &hostSet{map[string]string{}, map[string]string{}} }

// add keeps the first host of those that are alike.
func (s *hostSet) add(host string) {
	name := model.CanonicalHost(host)
	keep := func(in map[string]string, key string) {
		if _, known := in[key]; !known {
			in[key] = host
		}
	}
	keep(s.hosts, name)
	for _, suffix := range suffixes(name) {
		keep(s.below, suffix)
	}
}

// covering gives a host that stands for all that another one stands for; the same host before any other.
func (s *hostSet) covering(host string) (other string, found bool) {
	name := model.CanonicalHost(host)
	if other, found = s.hosts[name]; found {
		return other, true
	}
	for _, suffix := range suffixes(name) {
		if other, found = s.hosts["*"+suffix]; found {
			return other, true
		}
	}
	return "", false
}

// overlap gives a host that covers another one, or that this one covers.
func (s *hostSet) overlap(host string) (other string, found bool) {
	if other, found = s.covering(host); found {
		return other, true
	}
	suffix, wild := strings.CutPrefix(model.CanonicalHost(host), "*")
	if !wild {
		return "", false
	}
	other, found = s.below[suffix]
	return other, found
}

// suffixes gives what follows the star of the wildcards that cover a host, which itself may be one.
func suffixes(name string) []string {
	out := []string{""}
	for rest := strings.TrimPrefix(name, "*"); ; rest = rest[1:] {
		at := strings.IndexByte(rest, '.')
		if at < 0 {
			return out
		}
		rest = rest[at:]
		out = append(out, rest)
	}
}
