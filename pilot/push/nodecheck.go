package push

import (
	"fmt"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// maxNodeID is in bytes: a type, an address, a pod and namespace of 253 + 1 + 63 and a domain of 253.
	maxNodeID = 1024
	// maxVersion is in bytes; a version of Istio's with a commit and a suffix has about 50.
	maxVersion = 64
	// maxAddresses is how many addresses a proxy may have, maxAddress what each may have in bytes.
	maxAddresses, maxAddress = 64, 64
	// maxTrustedProxies bounds how many proxies stand before a gateway.
	maxTrustedProxies = 1000
	// maxLabels is how many labels a proxy may have; Kubernetes bounds the length of each.
	maxLabels = 256
	// maxPlace bounds the names of clusters, networks and localities, which have no form of their own.
	maxPlace = 253
	// maxView bounds the names of the networks that a proxy asks to see, together.
	maxView = 16 * maxPlace
)

// check reports the first field that is not of the form that Kubernetes gives it. Values are quoted
// and cut, since they may hold anything.
func (n *Node) check() error {
	// Its parts are checked below but for the address, which metadata may give in its place.
	if strings.ContainsFunc(n.ID, func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII }) {
		return fmt.Errorf("node ID %q: has a letter that is not printable ASCII", n.ID)
	}
	for _, f := range []struct {
		field, value string
		problems     func(string) []string
		optional     bool
	}{
		{"pod name", n.Name, validation.IsDNS1123Subdomain, false},
		{"namespace", n.Namespace, validation.IsDNS1123Label, false},
		{"domain", n.DNSDomain, validation.IsDNS1123Subdomain, true},
		{"SERVICE_ACCOUNT", n.ServiceAccount, validation.IsDNS1123Subdomain, true},
		{"ISTIO_VERSION", n.IstioVersion, version, true},
		{"INTERCEPTION_MODE", n.Interception, interception, false},
		{"CLUSTER_ID", n.ClusterID, place, true},
		{"NETWORK", n.Network, place, true},
		{"REQUESTED_NETWORK_VIEW", strings.Join(n.NetworkView, ","), view, true},
		{"WORKLOAD_ENTRY", n.WorkloadEntry, validation.IsDNS1123Subdomain, true},
		{"AUTO_REGISTER_GROUP", n.Group, validation.IsDNS1123Subdomain, true},
		{"NODE_NAME", n.Proxy.Node, validation.IsDNS1123Subdomain, true},
		{"locality region", n.Locality.Region, place, true},
		{"locality zone", n.Locality.Zone, place, true},
		{"locality sub-zone", n.Locality.SubZone, place, true},
	} {
		if f.optional && f.value == "" {
			continue
		}
		if problems := f.problems(f.value); len(problems) > 0 {
			return fmt.Errorf("node ID %q: %s %.100q: %s", n.ID, f.field, f.value, problems[0])
		}
	}
	for key, value := range n.Labels {
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			return fmt.Errorf("node ID %q: LABELS %.100q: %.100q: %s", n.ID, key, value, problems[0])
		}
	}
	return nil
}

// version takes the letters that versions of Istio have, which become a label of a metric, place the names that people
// give to clusters, networks and localities, and view several of them.
func version(s string) []string { return letters(s, maxVersion, ".+-") }
func place(s string) []string   { return letters(s, maxPlace, "._-/:@ ") }
func view(s string) []string    { return letters(s, maxView, "._-/:@ ,") }

// letters takes up to so many letters and digits, and some others.
func letters(s string, most int, others string) []string {
	if len(s) > most {
		return []string{validation.MaxLenError(most)}
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune(others, r) }) {
		return []string{fmt.Sprintf("has letters other than 0-9, A-Z, a-z and those of %q", others)}
	}
	return nil
}

// interception takes the modes that Istio's agents know.
func interception(s string) []string {
	switch s {
	case "REDIRECT", "TPROXY", "NONE":
		return nil
	}
	return []string{"is not REDIRECT, TPROXY or NONE"}
}

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}
