package model

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/proto/locality"
)

// Labels of pods that say where they run.
const (
	LabelRegion  = "topology.kubernetes.io/region"
	LabelZone    = "topology.kubernetes.io/zone"
	LabelSubZone = "topology.istio.io/subzone"
)

// LocalityOf reads where labels say that a pod or a machine is. A label of package locality overrides the others.
func LocalityOf(labels map[string]string) Locality {
	if text := locality.Text(labels); text != "" {
		region, zone, subZone := locality.Parse(text)
		return Locality{Region: region, Zone: zone, SubZone: subZone}
	}
	return Locality{Region: labels[LabelRegion], Zone: labels[LabelZone], SubZone: labels[LabelSubZone]}
}

// Labelled gives the part of a locality that a label says, ok is false for a label that says none.
func (l Locality) Labelled(label string) (value string, ok bool) {
	switch label {
	case LabelRegion:
		return l.Region, true
	case LabelZone:
		return l.Zone, true
	case LabelSubZone:
		return l.SubZone, true
	}
	return "", false
}

// LabelNode of a node is its name; it stands for it among the labels that endpoints are preferred by.
const LabelNode = "kubernetes.io/hostname"

// Values of a Service's trafficDistribution: near endpoints are used as long as there are any.
const (
	PreferClose    = "PreferClose"
	PreferSameZone = "PreferSameZone"
	PreferSameNode = "PreferSameNode"
)

// Distribution gives the value that a text stands for, "" for one that prefers nothing. Istio's annotation may be
// written in any case.
func Distribution(text string) string {
	switch {
	case strings.EqualFold(text, PreferClose), strings.EqualFold(text, PreferSameZone):
		return PreferSameZone
	case strings.EqualFold(text, PreferSameNode):
		return PreferSameNode
	}
	return ""
}
