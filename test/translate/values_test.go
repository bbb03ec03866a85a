package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// sameValues are values, by the end of their path, that mean the same as others of their field.
var sameValues = map[string]string{
	"loadBalancer.simple=UNSPECIFIED":                            "the default is LEAST_REQUEST",
	"loadBalancer.simple=LEAST_CONN":                             "an old name of LEAST_REQUEST",
	"loadBalancer.simple=LEAST_REQUEST":                          "the default",
	"h2UpgradePolicy=DEFAULT":                                    "the mesh's, which is not to upgrade",
	"h2UpgradePolicy=DO_NOT_UPGRADE":                             "the mesh's default",
	"isibility=VISIBILITY_UNSPECIFIED":                           "the default is PUBLIC",
	"isibility=PUBLIC":                                           "the default",
	"PeerAuthentication.mtls.mode=UNSET":                         "inherits, at the top PERMISSIVE",
	"PeerAuthentication.mtls.mode=PERMISSIVE":                    "the default",
	"PeerAuthentication.portLevelMtls.mode=UNSET":                "inherits STRICT of the workload, in the base with ports",
	"PeerAuthentication.portLevelMtls.mode=STRICT":               "as the workload, in the base with ports",
	"gress.captureMode=DEFAULT":                                  "IPTABLES, where anything is redirected",
	"gress.captureMode=IPTABLES":                                 "the default",
	"forwardClientCertDetails=UNDEFINED":                         "the gateways' default is SANITIZE_SET",
	"forwardClientCertDetails=SANITIZE_SET":                      "the gateways' default",
	"overrides.match.metric=ALL_METRICS":                         "the default",
	"match.mode=CLIENT_AND_SERVER":                               "the default",
	"tagOverrides.operation=UPSERT":                              "the label stays, in the base that sets none",
	"tls.minProtocolVersion=TLS_AUTO":                            "the default is TLS 1.2",
	"tls.minProtocolVersion=TLSV1_2":                             "the default",
	"MeshConfig.meshMTLS.minProtocolVersion=TLS_AUTO":            "the default is TLS 1.2",
	"MeshConfig.meshMTLS.minProtocolVersion=TLSV1_2":             "the default",
	"MeshConfig.tlsDefaults.minProtocolVersion=TLS_AUTO":         "the default is TLS 1.2",
	"MeshConfig.tlsDefaults.minProtocolVersion=TLSV1_2":          "the default",
	"UnderscoresAction=HEADERS_WITH_UNDERSCORES_UNSPECIFIED":     "the default is to allow them",
	"UnderscoresAction=HEADERS_WITH_UNDERSCORES_ALLOW":           "the default",
	"EscapedSlashesAction=PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED": "the default is as pathNormalization says",
	"EscapedSlashesAction=KEEP_UNCHANGED":                        "what pathNormalization says by default",
	"forwardedClientCert=UNDEFINED":                              "the sidecars' default is APPEND_FORWARD",
	"forwardedClientCert=APPEND_FORWARD":                         "the sidecars' default",
	"MeshConfig.ingressControllerMode=UNSPECIFIED":               "the default is STRICT",
	"MeshConfig.ingressControllerMode=STRICT":                    "the default",
	"MeshConfig.pathNormalization.normalization=DEFAULT":         "the default is BASE",
	"MeshConfig.pathNormalization.normalization=BASE":            "the default",
}

// isSame tells whether a value means the same as another.
func isSame(value string) bool {
	for end := range sameValues {
		if strings.HasSuffix(value, end) {
			return true
		}
	}
	return false
}

// judgeValues gives a field each value that its enumeration has, and tells of those without effect.
func (w *walked) judgeValues(t *testing.T, world *world, path []protoreflect.FieldDescriptor) map[string]string {
	distinct, why := w.distinct(t, world, path)
	values := path[len(path)-1].Enum().Values()
	for i := range values.Len() {
		value := string(values.Get(i).Name())
		if name := pathOf(w.kind, path) + "=" + value; !distinct[value] && !isSame(name) {
			t.Errorf("%s is as another value, and nothing tells so", name)
		}
	}
	return why
}

// distinct gives the values of an enumeration that are unlike each other in some base, or reported, and
// what is reported of them.
func (w *walked) distinct(t *testing.T, world *world, path []protoreflect.FieldDescriptor) (distinct map[string]bool, why map[string]string) {
	distinct, why = map[string]bool{}, map[string]string{}
	values := path[len(path)-1].Enum().Values()
	for i, base := range w.bases {
		without := w.read(t, base)
		if i > 0 && !has(without.ProtoReflect(), path[:len(path)-1]) {
			continue
		}
		parent(without.ProtoReflect(), path)
		errors := len(errorsOf(world.effect(t, w.document(t, without)).problems))
		seen := map[string][]string{} // names of values, by what they give
		for i := range values.Len() {
			value := string(values.Get(i).Name())
			with := set(without, path, `"`+value+`"`)
			got := world.effect(t, w.document(t, with))
			if _, said := reported(got.problems, path); said != "" {
				distinct[value], why[value] = true, said
				continue
			}
			if len(errorsOf(got.problems)) > errors { // it is refused
				distinct[value] = true
				continue
			}
			seen[string(got.bytes)] = append(seen[string(got.bytes)], value)
		}
		for _, names := range seen {
			if len(names) == 1 {
				distinct[names[0]] = true
			}
		}
	}
	return distinct, why
}
