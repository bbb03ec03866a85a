package model

import (
	"fmt"
	"strings"
)

// The annotations of our own (docs/extensions.md): what users asked Istio for and its API has no field for.
// Without them nothing changes.
const (
	// AnnotationStickySplit of a VirtualService says by what requests are split over weighted destinations:
	// "header:NAME" or "cookie:NAME".
	AnnotationStickySplit = "traffic.pilothouse.io/sticky-split"
	// AnnotationSubsetFallback of a DestinationRule names, for subsets, the one that gets the requests while
	// a subset has no endpoint: "v2=v1, canary=v2". "*" stands for all endpoints of the service.
	AnnotationSubsetFallback = "traffic.pilothouse.io/subset-fallback"
	// AnnotationAnswers of the WorkloadEntry of a registered machine names the replica that hears the machine, and
	// that takes a disconnectedAt away which another one has written. It counts while istio.io/workloadController
	// says the same: other control planes do not answer.
	AnnotationAnswers = "machine.pilothouse.io/answers"
	// AnnotationPeers of a Pod that our injector made, or of a WorkloadEntry of a machine with our agent, says the form
	// in which its proxy reads who its callers are. While each says PeersShort, nobody is told in Istio's long one.
	AnnotationPeers = "telemetry.pilothouse.io/peers"
	PeersShort      = "short"
)

// extensionDomain is in the names of the annotations of our own.
const extensionDomain = "pilothouse.io/"

// ForMesh tells whether an annotation addresses a mesh.
func ForMesh(annotation string) bool {
	return strings.Contains(annotation, MeshAnnotation) || strings.Contains(annotation, extensionDomain)
}

// StickySplit is what requests are split by; exactly one of its fields is set.
type StickySplit struct{ Header, Cookie string }

// ParseStickySplit reads AnnotationStickySplit; the error says what it should be. The names are not checked.
func ParseStickySplit(text string) (StickySplit, error) {
	kind, name, _ := strings.Cut(strings.TrimSpace(text), ":")
	switch {
	case name == "":
	case kind == "header":
		return StickySplit{Header: strings.ToLower(name)}, nil
	case kind == "cookie":
		return StickySplit{Cookie: name}, nil
	}
	return StickySplit{}, fmt.Errorf("%q is no way to split requests; write header:NAME or cookie:NAME", text)
}

// AllEndpoints, in the place of a subset to fall back to, stands for those of the whole service.
const AllEndpoints = "*"

// ParseSubsetFallback reads AnnotationSubsetFallback: the subset to fall back to, by subset.
func ParseSubsetFallback(text string) (map[string]string, error) {
	out := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(item, "=")
		from, to = strings.TrimSpace(from), strings.TrimSpace(to)
		if !ok || from == "" || to == "" || from == to {
			return nil, fmt.Errorf("%q names no two subsets; write SUBSET=SUBSET, separated by commas", strings.TrimSpace(item))
		}
		if _, twice := out[from]; twice {
			return nil, fmt.Errorf("%q falls back twice; keep one of them", from)
		}
		out[from] = to
	}
	return out, nil
}
