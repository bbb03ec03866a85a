// Package seen has what replicas of a control plane and agents tell each other of an API server's objects: of
// each kind the newest resourceVersion that the control plane has seen. A response says it in the identifier of
// its control plane: the first of a stream of all kinds, later ones of those that have another since. The agent
// gives it back in a header of its next stream, so that a replica that is behind can wait.
package seen

import (
	"fmt"
	"slices"
	"strings"
)

// Header is the metadata of a stream by which an agent tells what its last control plane has seen. An agent
// that has it, if only empty, is told in responses.
const Header = "pilothouse-seen"

const (
	// MaxText bounds what Parse reads, in bytes.
	MaxText = 8 << 10
	// maxKinds bounds the kinds in it, and maxKind and maxVersion a kind and a version in bytes.
	maxKinds, maxKind, maxVersion = 128, 253, 40
)

// Version is the newest version seen of a kind, which is named RESOURCE or RESOURCE.GROUP.
type Version struct{ Kind, Version string }

// Versions are those of several kinds, sorted by kind. They are never changed in place.
type Versions []Version

// Comparable tells whether a resourceVersion is a decimal number, of any length, as API servers give since
// Kubernetes 1.35 for sure (KEP-5504).
func Comparable(version string) bool {
	if version == "" || version[0] == '0' || len(version) > maxVersion {
		return false
	}
	for i := range len(version) {
		if version[i] < '0' || version[i] > '9' {
			return false
		}
	}
	return true
}

// Compare orders two comparable versions of one kind. The empty one comes before all.
func Compare(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Of gives the version of a kind; empty for none.
func (v Versions) Of(kind string) string {
	if at, found := slices.BinarySearchFunc(v, kind, func(v Version, kind string) int { return strings.Compare(v.Kind, kind) }); found {
		return v[at].Version
	}
	return ""
}

// Parse reads what String writes.
func Parse(text string) (Versions, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("has %d bytes, at most %d are read", len(text), MaxText)
	}
	if text == "" {
		return nil, nil
	}
	parts := strings.SplitN(text, ",", maxKinds+1)
	if len(parts) > maxKinds {
		return nil, fmt.Errorf("has more than %d kinds", maxKinds)
	}
	var out Versions
	for _, part := range parts {
		kind, version, _ := strings.Cut(part, "=")
		if !isKind(kind) || !Comparable(version) {
			return nil, fmt.Errorf("%.60q is no kind with a version", part)
		}
		out = append(out, Version{kind, version})
	}
	out.sort()
	for i := 1; i < len(out); i++ {
		if out[i-1].Kind == out[i].Kind {
			return nil, fmt.Errorf("kind %s stands twice", out[i].Kind)
		}
	}
	return out, nil
}

// isKind tells whether text is the name of a kind: a DNS name.
func isKind(text string) bool {
	if text == "" || len(text) > maxKind {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// String gives KIND=VERSION of all kinds, with commas between.
func (v Versions) String() string {
	size := 0
	for _, each := range v {
		size += len(each.Kind) + len(each.Version) + 2
	}
	var b strings.Builder
	b.Grow(size)
	for i, each := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(each.Kind)
		b.WriteByte('=')
		b.WriteString(each.Version)
	}
	return b.String()
}

// Of gives the versions of a map by kind.
func Of(byKind map[string]string) Versions {
	out := make(Versions, 0, len(byKind))
	for kind, version := range byKind {
		out = append(out, Version{kind, version})
	}
	out.sort()
	return out
}

func (v Versions) sort() {
	slices.SortFunc(v, func(a, b Version) int { return strings.Compare(a.Kind, b.Kind) })
}

// Cover tells whether v has all kinds of others, each at least as new.
func (v Versions) Cover(others Versions) bool {
	for _, each := range others {
		for len(v) > 0 && v[0].Kind < each.Kind {
			v = v[1:]
		}
		if len(v) == 0 || v[0].Kind != each.Kind || Compare(v[0].Version, each.Version) < 0 {
			return false
		}
	}
	return true
}

// Since gives those that were others, or none, in former.
func (v Versions) Since(former Versions) Versions {
	var out Versions
	for _, each := range v {
		for len(former) > 0 && former[0].Kind < each.Kind {
			former = former[1:]
		}
		if len(former) == 0 || former[0] != each {
			out = append(out, each)
		}
	}
	return out
}

// With gives v with newer ones in the place of those of the same kinds. More kinds than Parse takes are left out.
func (v Versions) With(newer Versions) Versions {
	out := slices.Clone(newer)
	for _, each := range v {
		if !slices.ContainsFunc(newer, func(n Version) bool { return n.Kind == each.Kind }) && len(out) < maxKinds {
			out = append(out, each)
		}
	}
	out.sort()
	return out
}
