package patch

import (
	"bytes"
	"encoding/json"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Bootstrap gives what the patches of a set put over the bootstrap that an agent makes, as one JSON object with the
// names of Envoy's API. Equal sets give equal text; "" is for nothing.
func (s Set) Bootstrap() (string, []model.Problem) {
	all, _, problems := attempt(s, networking.EnvoyFilter_ANY, func() *bootstrapv3.Bootstrap { return &bootstrapv3.Bootstrap{} }, func(r *run, m *bootstrapv3.Bootstrap) (*bootstrapv3.Bootstrap, bool) {
		r.each(networking.EnvoyFilter_BOOTSTRAP, func(p *Patch) {
			p.merge(m, p.value)
			if _, err := bootstrapJSON(m); err != nil {
				r.fail(p, err)
			}
		})
		return m, true
	})
	text, err := bootstrapJSON(all)
	if err != nil || text == "{}" {
		return "", problems
	}
	return text, problems
}

// bootstrapJSON has no spaces, since protojson puts them in at random.
func bootstrapJSON(m *bootstrapv3.Bootstrap) (string, error) {
	spaced, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = json.Compact(&text, spaced)
	return text.String(), err
}

// Unasked tells of the patches of a set that agents do not ask for.
func (s Set) Unasked() []model.Problem {
	out := make([]model.Problem, len(s))
	for i, p := range s {
		out[i] = model.Problem{
			Object: p.object.Key, Field: p.field, Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Origin: p.object.Origin,
			Message: "agents that do not ask for it put nothing over the bootstrap, as in Istio; set proxyMetadata BOOTSTRAP_XDS_AGENT: \"true\" (defaultConfig, a ProxyConfig, or a pod's annotation) and start the proxies again",
		}
	}
	return out
}
