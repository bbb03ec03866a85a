package model

import (
	"net/netip"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// ConditionHealthy is the condition of a WorkloadEntry that tells whether its agent's probe succeeds.
const ConditionHealthy = "Healthy"

// Reasons of ConditionHealthy. One without is another control plane's.
const (
	// ReasonHeard says that a replica of ours has heard the agent, and answers to ReasonAsked.
	ReasonHeard = "Heard"
	// ReasonAsked says that another one asks whether the agent is heard still.
	ReasonAsked = "StillHeardAsked"
)

// DefaultServiceAccount is that of a workload that names none, as in Kubernetes.
const DefaultServiceAccount = "default"

// HealthChecked tells whether a WorkloadEntry is in service only while its agent says so.
func HealthChecked(o *Object) bool {
	on, err := strconv.ParseBool(o.Annotations[AnnotationHealthChecks])
	return err == nil && on
}

// UnixScheme begins the address of an endpoint that is a Unix socket.
const UnixScheme = "unix://"

// AddressKind tells what an endpoint's address is.
type AddressKind uint8

const (
	// AddressNone is an empty address: of a workload that only a gateway of its network reaches.
	AddressNone AddressKind = iota
	// AddressIP is an IP address.
	AddressIP
	// AddressUnix is a Unix socket.
	AddressUnix
	// AddressName is a DNS name.
	AddressName
)

// KindOfAddress tells what the address of a WorkloadEntry, or of an Endpoint, is.
func KindOfAddress(address string) AddressKind {
	switch {
	case address == "":
		return AddressNone
	case strings.HasPrefix(address, UnixScheme), strings.HasPrefix(address, "/"), strings.HasPrefix(address, "@"):
		return AddressUnix
	}
	if ip, err := netip.ParseAddr(address); err == nil && ip.Zone() == "" {
		return AddressIP
	}
	return AddressName
}

// CanonicalIP gives an IP address as it is compared, since it has several spellings (RFC 5952), and an IPv4 address
// one within IPv6. What is no address stays as it is.
func CanonicalIP(text string) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	if canonical := ip.Unmap().String(); canonical != text {
		return canonical
	}
	return text // and no copy of it
}

// WorkloadLabels gives the labels of a WorkloadEntry: those of its spec and those of its metadata, which
// win.
func WorkloadLabels(o *Object) map[string]string {
	spec := o.Spec.(*networking.WorkloadEntry).GetLabels()
	if len(spec) == 0 {
		return o.Labels
	}
	out := make(map[string]string, len(spec)+len(o.Labels))
	for k, v := range spec {
		out[k] = v
	}
	for k, v := range o.Labels {
		out[k] = v
	}
	return out
}
