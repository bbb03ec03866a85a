package validate

import (
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hostSet is hosts and wildcards, in which those that cover another one, or that it covers, are found without looking
// at all.
type hostSet struct {
	hosts map[string]string // as they were written, by their canonical forms
	below map[string]string // those that end in a suffix; "" is one of all hosts
	// partial are the canonical forms of wildcards that stand for a part of a label. They are few, so they are compared
	// one by one.
	partial []string
}

func newHostSet() *hostSet { return &hostSet{hosts: map[string]string{}, below: map[string]string{}} }

// add keeps the first host of those that are alike.
func (s *hostSet) add(host string) {
	name := model.CanonicalHost(host)
	keep := func(in map[string]string, key string) {
		if _, known := in[key]; !known {
			in[key] = host
		}
	}
	keep(s.hosts, name)
	if partialWildcard(name) {
		s.partial = append(s.partial, name)
	}
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
	for _, wildcard := range s.partial {
		if model.HostCovers(wildcard, name) {
			return s.hosts[wildcard], true
		}
	}
	return "", false
}

// overlap gives a host that covers another one, or that this one covers.
func (s *hostSet) overlap(host string) (other string, found bool) {
	if other, found = s.covering(host); found {
		return other, true
	}
	name := model.CanonicalHost(host)
	suffix, wild := strings.CutPrefix(name, "*")
	if !wild {
		return "", false
	}
	if partialWildcard(name) {
		for _, known := range slices.Sorted(maps.Keys(s.hosts)) {
			if model.HostCovers(name, known) {
				return s.hosts[known], true
			}
		}
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
