package file

import (
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"istio.io/api/annotation"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// shut puts a stand-in into the place of an object of Istio's security API that was refused, and adds to
// its problems what that does. read is its spec, nil where that does not decode.
func (d *decoder) shut(key model.Key, read proto.Message, src *source) {
	o, effect := d.standIn(key, read, src.root())
	if o == nil {
		return
	}
	o.Origin = model.Origin{File: d.name, Line: src.line}
	d.out.objects = append(d.out.objects, o)
	for i := range d.out.problems {
		if p := &d.out.problems[i]; p.Object == key && p.Severity == model.SeverityError {
			p.Message += "; " + effect + " unless a former version of it is in effect"
			return
		}
	}
}

// standIn gives an object that lets no more pass than the refused one would without its fault, with what
// it does; nil for one that only lets pass, or is no object of security. What the object selects is kept;
// where that cannot be read, the stand-in is for the whole namespace.
func (d *decoder) standIn(key model.Key, read proto.Message, root *yaml.Node) (o *model.Object, effect string) {
	istio, ok := kinds.OfIstio()[key.Kind]
	if !ok {
		return nil, ""
	}
	o = &model.Object{Key: key, StandsIn: true}
	spec := lookup(root, "spec")
	target := istio.Make()
	// The check is of the target alone: what is without rules is right.
	if o.Spec = decodeTarget(spec, target); d.wrong(o) {
		o.Spec = istio.Make()
	}
	switch s := o.Spec.(type) {
	case *security.AuthorizationPolicy:
		action := textOf(lookup(spec, "action"))
		if p, ok := read.(*security.AuthorizationPolicy); ok {
			action = p.GetAction().String()
		}
		switch {
		case action == "AUDIT" || textOf(lookup(lookup(lookup(root, "metadata"), "annotations"), annotation.IoIstioDryRun.Name)) == "true":
			return nil, "" // it decides nothing
		case action == "ALLOW":
			return o, "it allows nothing" // what no other policy allows is denied
		}
		s.Action, s.Rules = security.AuthorizationPolicy_DENY, []*security.Rule{{}}
		return o, "all that it selects is denied"
	case *security.RequestAuthentication:
		s.JwtRules = []*security.JWTRule{{}} // of no issuer, for which no key is good
		return o, "every token is refused at what it selects"
	case *security.PeerAuthentication:
		s.Mtls = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}
		return o, "what it selects takes mutual TLS alone"
	}
	return nil, ""
}

func (d *decoder) wrong(o *model.Object) bool {
	return d.check != nil && slices.ContainsFunc(d.check(o), func(p model.Problem) bool { return p.Severity == model.SeverityError })
}

// decodeTarget reads into a spec what the nodes of a refused one select. The spec stays empty where that
// does not decode.
func decodeTarget(spec *yaml.Node, into proto.Message) proto.Message {
	fields := map[string]any{}
	for _, name := range []string{"selector", "targetRef", "targetRefs"} {
		node := lookup(spec, name)
		if node == nil {
			continue
		}
		var value any
		if node.Decode(&value) != nil {
			return into
		}
		fields[name] = value
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return into
	}
	read := into.ProtoReflect().New().Interface()
	if protojson.Unmarshal(text, read) != nil {
		return into
	}
	return read
}

// textOf gives a scalar's text, "" of anything else.
func textOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}
