// Package locality reads the label by which a pod says where it runs. The node agent tells the control plane
// what its pod says, and the control plane reads the labels of all pods, so both have to read it alike.
package locality

import "strings"

// Label is Istio's label: region.zone.subzone, or, where these have dots, region/zone/subzone.
const Label = "istio-locality"

// Parse reads the label's value. Parts that are missing are "".
func Parse(text string) (region, zone, subZone string) {
	separator := "/"
	if !strings.Contains(text, separator) {
		separator = "."
	}
	parts := append(strings.SplitN(text, separator, 3), "", "")
	return parts[0], parts[1], parts[2]
}
