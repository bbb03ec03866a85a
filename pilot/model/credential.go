package model

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

const (
	// SecretKubernetes begins the SDS names of the secrets that the control plane serves, which go on with
	// the name of a Secret, as Istio has it.
	SecretKubernetes = "kubernetes://"
	// AuthoritiesSuffix ends the name of the authorities that belong to a Secret.
	AuthoritiesSuffix = "-cacert"
)

// SecretName gives the SDS name of a Secret that a credentialName names.
func SecretName(credential string) string {
	return SecretKubernetes + strings.TrimPrefix(credential, SecretKubernetes)
}

// ClientSecrets gives the SDS names of what TLS to a server needs: a key pair, and authorities; each may be
// "". Without a credentialName it needs neither.
func ClientSecrets(t *networking.ClientTLSSettings) (pair, authorities string) {
	name := t.GetCredentialName()
	if name == "" {
		return "", ""
	}
	switch t.GetMode() {
	case networking.ClientTLSSettings_MUTUAL:
		pair = SecretName(name)
	case networking.ClientTLSSettings_SIMPLE:
	default:
		return "", ""
	}
	if !t.GetInsecureSkipVerify().GetValue() {
		authorities = SecretName(name) + AuthoritiesSuffix
	}
	return pair, authorities
}

// DestinationSecrets gives the SDS names that a DestinationRule's settings need, sorted.
func DestinationSecrets(rule *networking.DestinationRule) []string {
	var out []string
	eachClientTLS(rule, func(_ string, t *networking.ClientTLSSettings) {
		pair, authorities := ClientSecrets(t)
		out = append(out, pair, authorities)
	})
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(name string) bool { return name == "" })
}

// SecretField gives the first field of a DestinationRule that names what has an SDS name.
func SecretField(rule *networking.DestinationRule, name string) (field string) {
	eachClientTLS(rule, func(at string, t *networking.ClientTLSSettings) {
		if pair, authorities := ClientSecrets(t); field == "" && (name == pair || name == authorities) {
			field = at + ".credentialName"
		}
	})
	return field
}

// eachClientTLS calls do with the settings of TLS that a DestinationRule has, and where they stand.
func eachClientTLS(rule *networking.DestinationRule, do func(field string, t *networking.ClientTLSSettings)) {
	for i, p := range policies(rule) {
		path := "spec.trafficPolicy"
		if i > 0 {
			path = fmt.Sprintf("spec.subsets[%d].trafficPolicy", i-1)
		}
		do(path+".tls", p.GetTls())
		for j, port := range p.GetPortLevelSettings() {
			do(fmt.Sprintf("%s.portLevelSettings[%d].tls", path, j), port.GetTls())
		}
	}
}
