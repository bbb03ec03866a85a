package translate

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
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
	"redirect.derivePort=FROM_PROTOCOL_DEFAULT":                  "the default",
	"unmatchedPreflights=UNSPECIFIED":                            "the default is FORWARD",
	"connectionSettings.profile=SIDECAR":                         "the default",
	"route.action=ANY":                                           "the default",
	"patch.filterClass=UNSPECIFIED":                              "the default",
	"servers.tls.maxProtocolVersion=TLS_AUTO":                    "the default is TLS 1.3",
	"ingress.tls.maxProtocolVersion=TLS_AUTO":                    "the default is TLS 1.3",
	"proxyProtocol.version=V1":                                   "the default",
	"MeshConfig.accessLogEncoding=TEXT":                          "the default",
	"MeshConfig.inboundTrafficPolicy.mode=PASSTHROUGH":           "the default",
	"zipkin.traceContextOption=USE_B3":                           "the default",
	"MeshConfig.pathNormalization.normalization=DEFAULT":         "the default is BASE",
	"tracingServiceName=APP_LABEL_AND_NAMESPACE":                 "the default",
	"defaultConfig.interceptionMode=REDIRECT":                    "the default",
	"serviceAttributeEnrichment=ISTIO_CANONICAL":                 "the default",
	"MeshConfig.pathNormalization.normalization=BASE":            "the default",
}

// sameAs tells why a value means the same as another; "" for no reason.
func sameAs(value string) string {
	for end, why := range sameValues {
		if strings.HasSuffix(value, end) {
			return why
		}
	}
	return ""
}

// judgeValues gives a field each value that its enumeration has, in the first base in which it is unlike all others.
func (w *walked) judgeValues(t *testing.T, world *world, path []protoreflect.FieldDescriptor) outcome {
	out := outcome{path: pathOf("", path)[1:], values: map[string]string{}}
	shown := map[string]trial{}
	act := 0
	descriptors := path[len(path)-1].Enum().Values()
	for i, base := range w.bases {
		without := w.read(t, base)
		if i > 0 && !has(without.ProtoReflect(), path[:len(path)-1]) || act == descriptors.Len() {
			continue
		}
		parent(without.ProtoReflect(), path)
		for _, tr := range w.unlike(t, world, path, base, without) {
			if former, ok := shown[tr.value]; !ok || tr.rank() > former.rank() {
				shown[tr.value] = tr
				if tr.rank() == acting {
					act++
				}
			}
		}
	}
	for i := range descriptors.Len() {
		value := string(descriptors.Get(i).Name())
		tr, ok := shown[value]
		if same := sameAs(pathOf(w.kind, path) + "=" + value); same != "" && !tr.acts {
			tr = trial{value: value, base: w.bases[0], same: same}
		} else if !ok {
			t.Errorf("%s=%s is as another value, and nothing tells so", pathOf(w.kind, path), value)
		} else if tr.rank() == 0 || !tr.acts && tr.said == "" && tr.broken {
			t.Errorf("%s=%s changes nothing, and nothing tells so", pathOf(w.kind, path), value)
		}
		if tr.said != "" {
			out.values[value] = tr.said
			if !out.reported {
				out.reported, out.said, out.why = true, tr.at, tr.said
			}
		}
		out.acts = out.acts || tr.acts
		out.tried = append(out.tried, tr)
	}
	if out.acts {
		out.why = "" // it is said of each value
	}
	return out
}

// rank tells how much a trial says: more where the value acts than where it is refused, and more where the object
// is refused for nothing else.
func (tr trial) rank() int {
	rank := 0
	switch {
	case tr.acts:
		rank = acting - 1
	case len(tr.lines) > 0:
		rank = acting - 3
	default:
		return 0
	}
	if !tr.broken {
		rank++
	}
	return rank
}

// acting is the rank of a value that acts in a good object.
const acting = 4

// unlike tries all values of an enumeration in a base, and gives those that are unlike each other there, or reported,
// or refused.
func (w *walked) unlike(t *testing.T, world *world, path []protoreflect.FieldDescriptor, base string, without proto.Message) []trial {
	before := world.before(t, w.document(t, without))
	var told, all []trial
	var effects []*effect
	descriptors := path[len(path)-1].Enum().Values()
	for i := range descriptors.Len() {
		value := string(descriptors.Get(i).Name())
		after := world.effect(t, w.document(t, set(without, path, `"`+value+`"`)))
		at, said := reported(after.problems, path)
		tr := tried(t, value, base, said, before, after)
		tr.refused = len(errorsOf(after.problems)) > len(errorsOf(before.problems))
		tr.acts = !before.same(after) && !tr.refused
		tr.broken = len(errorsOf(before.problems)) > 0
		tr.at, tr.said = at, said
		if said != "" || tr.refused {
			told = append(told, tr)
			continue
		}
		all, effects = append(all, tr), append(effects, after)
	}
	for i, tr := range all {
		if !slices.ContainsFunc(effects, func(e *effect) bool { return e != effects[i] && e.same(effects[i]) }) {
			told = append(told, tr)
		}
	}
	return told
}
