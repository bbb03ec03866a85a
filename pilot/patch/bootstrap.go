package patch

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Bootstrap is what one patch puts over the bootstrap that an agent makes.
type Bootstrap struct {
	Name string // of the patch: its object and field
	JSON string // an envoy.config.bootstrap.v3.Bootstrap with the names of its API; equal ones have equal text
	From model.MadeOf
}

// Bootstrap gives what the patches of a set put over the bootstrap, in their order.
func (s Set) Bootstrap() (out []Bootstrap, problems []model.Problem) {
	for _, p := range s {
		text, err := bootstrapJSON(p.value)
		if err != nil {
			problems = append(problems, p.problem(".patch.value", err))
			continue
		}
		out = append(out, Bootstrap{Name: p.object.Key.String() + " " + p.field, JSON: text, From: p.madeOf()})
	}
	return out, problems
}

// bootstrapJSON has no spaces, since protojson puts them in at random.
func bootstrapJSON(m proto.Message) (string, error) {
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
