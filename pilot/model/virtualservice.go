package model

import (
	"fmt"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
)

// VirtualServiceAudience tells which namespaces see a VirtualService of a namespace.
func VirtualServiceAudience(mesh *meshconfig.MeshConfig, vs *networking.VirtualService, namespace string) Audience {
	return ExportTo(vs.GetExportTo(), mesh.GetDefaultVirtualServiceExportTo(), namespace)
}

// Match is what the matches of a VirtualService's rules say in all protocols.
type Match interface {
	GetGateways() []string
	GetPort() uint32
	GetSourceLabels() map[string]string
}

// MatchPlace is where a match stands: its protocol, its rule among those of the protocol, itself among those of
// the rule.
type MatchPlace struct {
	protocol    string
	rule, match int
}

// String gives the path of the field.
func (p MatchPlace) String() string {
	return fmt.Sprintf("spec.%s[%d].match[%d]", p.protocol, p.rule, p.match)
}

// EachMatch visits the matches of all rules.
func EachMatch(vs *networking.VirtualService, visit func(at MatchPlace, m Match)) {
	for i, rule := range vs.GetHttp() {
		eachOf("http", i, rule.GetMatch(), visit)
	}
	for i, rule := range vs.GetTcp() {
		eachOf("tcp", i, rule.GetMatch(), visit)
	}
	for i, rule := range vs.GetTls() {
		eachOf("tls", i, rule.GetMatch(), visit)
	}
}

func eachOf[M Match](protocol string, rule int, matches []M, visit func(at MatchPlace, m Match)) {
	for i, m := range matches {
		visit(MatchPlace{protocol, rule, i}, m)
	}
}
