package analyze

import (
	"cmp"
	"slices"
	"strings"

	"istio.io/api/annotation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Istio's codes.
const (
	deprecated             = "IST0002"
	notFound               = "IST0101"
	notInjected            = "IST0102"
	missingProxy           = "IST0103"
	schemaError            = "IST0106"
	misplacedAnnotation    = "IST0107"
	unknownAnnotation      = "IST0108"
	conflictingMeshHosts   = "IST0109"
	conflictingSidecars    = "IST0110"
	severalSidecars        = "IST0111"
	portRequired           = "IST0112"
	mutualTLSConflict      = "IST0113"
	severalProtocols       = "IST0116"
	portNaming             = "IST0118"
	severalLabels          = "IST0123"
	invalidAnnotation      = "IST0125"
	noWorkloads            = "IST0127"
	unreachableRule        = "IST0130"
	ineffectiveMatch       = "IST0131"
	notInGateway           = "IST0132"
	schemaWarning          = "IST0133"
	addressesRequired      = "IST0134"
	deprecatedAnnotation   = "IST0135"
	conflictingPorts       = "IST0137"
	sharedCertificate      = "IST0138"
	reservedUID            = "IST0144"
	conflictingGateway     = "IST0145"
	autoImageInDeployment  = "IST0146"
	autoImageInPod         = "IST0147"
	claimsUnvalidated      = "IST0149"
	relativePatch          = "IST0151"
	wrongReplace           = "IST0152"
	wrongAdd               = "IST0153"
	wrongRemove            = "IST0154"
	relativePatchOfVersion = "IST0155"
	conflictingTelemetries = "IST0159"
	severalTelemetries     = "IST0160"
	gatewayPort            = "IST0162"
	ineffectivePolicy      = "IST0167"
)

// gatewaysField and annotationsField are the parts of a field's path before a name's place.
const (
	gatewaysField    = "spec.gateways["
	annotationsField = "metadata.annotations["
)

// problemCode is Istio's code for problems of the control plane, whoever tells them.
type problemCode struct {
	reason model.Reason
	kind   model.Kind // "" for all
	within string     // a part of the field's path
	code   string
}

// problemCodes lists the codes of problems; the first that fits holds. Istio has none for matches that
// lead nowhere.
func problemCodes() []problemCode {
	return []problemCode{
		{model.ReasonReference, "", ".match[", ""},
		{model.ReasonReference, "", "spec.hosts[", notInGateway},
		{model.ReasonReference, "", gatewaysField, notInGateway},
		{model.ReasonReference, "", "", notFound},
		{model.ReasonInboundConflict, "", "", severalProtocols},
		{model.ReasonConflict, model.KindGateway, "spec.servers[", conflictingGateway},
		{model.ReasonConflict, model.KindIngress, "spec.tls[", conflictingGateway},
		{model.ReasonConflict, model.KindIngress, "spec.rules[", unreachableRule},
		{model.ReasonConflict, model.KindVirtualService, ".match[", ""},
		{model.ReasonConflict, model.KindVirtualService, "spec.hosts", conflictingMeshHosts},
		{model.ReasonConflict, model.KindVirtualService, "spec.http[", unreachableRule},
		{model.ReasonConflict, model.KindDestinationRule, "tls.mode", mutualTLSConflict},
		{model.ReasonConflict, model.KindPeerAuthentication, "mode", mutualTLSConflict},
		{model.ReasonInvalid, "", annotationsField, invalidAnnotation},
	}
}

// codeOf gives Istio's code for a problem of the control plane. What the problem alone does not tell
// follows from what it is about: an object's severity, a name of a Gateway, or an annotation.
func (m *mesh) codeOf(p model.Problem) string {
	switch {
	case p.Object.Kind == model.KindEnvoyFilter && strings.HasSuffix(p.Field, ".patch.operation"):
		operation, _, _ := strings.Cut(p.Message, " ")
		return cmp.Or(operationCode(operation), schemaError)
	case p.Reason == model.ReasonNotTranslated:
		return annotationCode(p)
	case p.Reason == model.ReasonReference && strings.HasPrefix(p.Field, gatewaysField) && !m.hasGateway(p):
		return notFound
	}
	for _, c := range problemCodes() {
		if c.reason == p.Reason && (c.kind == "" || c.kind == p.Object.Kind) && strings.Contains(p.Field, c.within) {
			return c.code
		}
	}
	switch {
	case p.Reason != model.ReasonInvalid:
		return ""
	case p.Severity == model.SeverityError:
		return schemaError
	}
	return schemaWarning
}

// operationCode gives the code for an operation that a patch of an EnvoyFilter cannot have.
func operationCode(operation string) string {
	switch operation {
	case "REPLACE":
		return wrongReplace
	case "ADD":
		return wrongAdd
	case "REMOVE":
		return wrongRemove
	}
	return ""
}

// levelOf gives the level of a problem. Istio's analysis is stricter than its API server with operations of EnvoyFilters.
func levelOf(p model.Problem) Level {
	operation := p.Object.Kind == model.KindEnvoyFilter && strings.HasSuffix(p.Field, ".patch.operation")
	if p.Severity == model.SeverityError || operation {
		return Error
	}
	return Warning
}

// annotationCode gives the code for an annotation that has no effect. It follows Istio's own list of
// annotations; "" stands for one that acts in Istio.
func annotationCode(p model.Problem) string {
	before, name, found := strings.Cut(p.Field, annotationsField)
	name, last := strings.CutSuffix(name, "]")
	if !found || !last {
		return ""
	}
	kind := p.Object.Kind
	if before != "" {
		kind = model.KindPod // in a template
	}
	switch a := knownAnnotation(name); {
	case a == nil:
		return unknownAnnotation
	case !standsAt(a, kind):
		return misplacedAnnotation
	}
	return ""
}

// knownAnnotation finds an annotation in Istio's list; nil for none.
func knownAnnotation(name string) *annotation.Instance {
	all := annotation.AllResourceAnnotations()
	if i := slices.IndexFunc(all, func(a *annotation.Instance) bool { return a.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// standsAt tells whether an annotation is for objects of a kind.
func standsAt(a *annotation.Instance, kind model.Kind) bool {
	return slices.ContainsFunc(a.Resources, func(r annotation.ResourceTypes) bool {
		return r == annotation.Any || r.String() == string(kind)
	})
}
