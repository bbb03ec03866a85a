// Package locality reads the labels by which a pod says where it runs. The node agent tells the control plane
// what its pod says, and the control plane reads the labels of all pods, so both have to read it alike.
package locality

import "strings"

// Labels of Istio: region.zone.subzone, or, where these have dots, region/zone/subzone.
const (
	Label    = "topology.istio.io/locality"
	OldLabel = "istio-locality"
)

// Text gives what the labels say, "" for nothing. The old label counts only where the new one is missing.
func Text(labels map[string]string) string {
	if text, ok := labels[Label]; ok {
		return text
	}
	return labels[OldLabel]
}

// Parse reads a label's value. Parts that are missing are "".
func Parse(text string) (region, zone, subZone string) {
	separator := "/"
	if !strings.Contains(text, separator) {
		separator = "."
	}
	parts := append(strings.SplitN(text, separator, 3), "", "")
	return parts[0], parts[1], parts[2]
}
