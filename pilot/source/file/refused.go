package file

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	security "istio.io/api/security/v1beta1"
	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Refusal is an object that is there but cannot take effect.
type Refusal struct {
	Key model.Key
	// Denial is in effect in its place as long as no version of it was accepted, nil for none. It
	// denies at least what the object could have denied, so that no fault lets more pass.
	Denial *model.Object
}

// What a refusal's problem says of what is in effect in its place.
const (
	deniesAll       = "; until it is mended, every call of what it selects is denied"
	deniesPlaintext = "; until it is mended, calls without mutual TLS of what it selects are denied"
	deniesUnnamed   = "; until it is mended, it allows nobody, and what it selects denies whom no other ALLOW policy allows"
)

// Consequence says, to follow a problem, what the denial does; "" without one.
func (r Refusal) Consequence() string {
	switch {
	case r.Denial == nil:
		return ""
	case r.Key.Kind == model.KindPeerAuthentication:
		return deniesPlaintext
	case r.Denial.Spec.(*security.AuthorizationPolicy).GetAction() == security.AuthorizationPolicy_ALLOW:
		return deniesUnnamed
	}
	return deniesAll
}

// denies tells whether objects of a kind deny anything, so that without one more would pass.
func denies(kind model.Kind) bool {
	return slices.Contains([]model.Kind{model.KindAuthorizationPolicy, model.KindRequestAuthentication, model.KindPeerAuthentication}, kind)
}

// refuse notes an object that cannot take effect. spec is its message, nil where it does not decode.
func (d *decoder) refuse(key model.Key, src *source, spec any, annotations map[string]string) {
	out := Refusal{Key: key}
	if denies(key.Kind) {
		out.Denial = d.denial(key, src, spec, annotations)
	}
	d.out.invalid = append(d.out.invalid, out)
}

// denial makes the policy that stands in for an object that was refused. It is an AuthorizationPolicy
// whatever the object's kind is, since this denies by itself, also beside others of the kind.
func (d *decoder) denial(key model.Key, src *source, spec any, annotations map[string]string) *model.Object {
	said := roughly(src.text)
	action := security.AuthorizationPolicy_DENY
	if key.Kind == model.KindAuthorizationPolicy {
		action = actionOf(spec, said)
		trial := model.DryRun(&model.Object{Annotations: annotations})
		if action == security.AuthorizationPolicy_AUDIT || trial {
			return nil // it denies nothing
		}
	}
	policy := d.target(key, said)
	policy.Action = security.AuthorizationPolicy_DENY
	switch {
	case key.Kind == model.KindPeerAuthentication:
		identity := &security.Source{NotPrincipals: []string{"*"}}
		policy.Rules = []*security.Rule{{From: []*security.Rule_From{{Source: identity}}}}
	case action == security.AuthorizationPolicy_ALLOW:
		policy.Action = security.AuthorizationPolicy_ALLOW // with nobody to allow
	default:
		policy.Rules = []*security.Rule{{}}
	}
	return &model.Object{Key: denialKey(key), Spec: policy, Origin: model.Origin{File: d.name, Line: src.line}}
}

// ofRefused begins the name of every denial. No object can have such a name.
const ofRefused = "refused:"

// denialKey names a denial, and thereby its rule in access logs.
func denialKey(of model.Key) model.Key {
	return model.Key{Kind: model.KindAuthorizationPolicy, Namespace: of.Namespace, Name: ofRefused + string(of.Kind) + ":" + of.Name}
}

// IsDenial tells whether a key is that of a denial.
func IsDenial(key model.Key) bool {
	return key.Kind == model.KindAuthorizationPolicy && strings.HasPrefix(key.Name, ofRefused)
}

// roughly gives the parts of an object's spec, nil where they are not certain.
func roughly(text []byte) map[string]json.RawMessage {
	var whole struct {
		Spec map[string]any `json:"spec"`
	}
	strict, err := kjson.UnmarshalStrict(text, &whole)
	if err != nil || slices.ContainsFunc(strict, func(err error) bool { return strings.Contains(err.Error(), "duplicate") }) {
		return nil
	}
	out := map[string]json.RawMessage{}
	for name, value := range whole.Spec {
		if part, err := json.Marshal(value); err == nil {
			out[name] = part
		}
	}
	return out
}

// actionOf gives the action of a policy, DENY where it is not certain.
func actionOf(spec any, said map[string]json.RawMessage) security.AuthorizationPolicy_Action {
	if policy, ok := spec.(*security.AuthorizationPolicy); ok {
		return policy.GetAction()
	}
	switch string(said["action"]) {
	case `"ALLOW"`:
		return security.AuthorizationPolicy_ALLOW
	case `"AUDIT"`:
		return security.AuthorizationPolicy_AUDIT
	}
	return security.AuthorizationPolicy_DENY
}

// target gives a policy for what an object selects, or for all of its namespace where that is at fault.
func (d *decoder) target(key model.Key, said map[string]json.RawMessage) *security.AuthorizationPolicy {
	parts := map[string]json.RawMessage{}
	for _, name := range []string{"selector", "targetRefs", "targetRef"} {
		if part, ok := said[name]; ok {
			parts[name] = part
		}
	}
	policy := &security.AuthorizationPolicy{}
	text, err := json.Marshal(parts)
	if err != nil || protojson.Unmarshal(text, policy) != nil {
		return &security.AuthorizationPolicy{}
	}
	if d.check == nil {
		return policy
	}
	for _, p := range d.check(&model.Object{Key: key, Spec: policy}) {
		if p.Severity == model.SeverityError && (strings.HasPrefix(p.Field, "spec.selector") || strings.HasPrefix(p.Field, "spec.targetRef")) {
			return &security.AuthorizationPolicy{}
		}
	}
	return policy
}

// What a text that does not parse still tells of the objects in it.
var (
	kindInText      = regexp.MustCompile(`(?m)^[^#\n]*?\b(AuthorizationPolicy|RequestAuthentication|PeerAuthentication)`)
	namespaceInText = regexp.MustCompile(`(?m)\bnamespace["']?[ \t]*:[ \t]*["']?([a-z0-9-]+)`)
)

// refuseText notes the objects that deny in a document of which a part is not known: each of them in
// every namespace that the text names.
func (d *decoder) refuseText(doc document) {
	namespaces := []string{}
	for _, m := range namespaceInText.FindAllSubmatch(doc.text, -1) {
		if ns := string(m[1]); !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
		}
	}
	if len(namespaces) == 0 {
		namespaces = []string{d.inNamespace("")}
	}
	for i, m := range kindInText.FindAllSubmatch(doc.text, -1) {
		for _, ns := range namespaces {
			name := fmt.Sprintf("unreadable-%s-%d-%d", filepath.Base(d.name), doc.line, i)
			key := model.Key{Kind: model.Kind(m[1]), Namespace: ns, Name: name}
			d.refuse(key, &source{line: doc.line}, nil, nil)
			d.out.unnamed = append(d.out.unnamed, key)
		}
	}
}

// release takes out what was refused by a text of which not the names are known, where as many objects of
// the kind and namespace go on being in effect.
func (c *content) release(unnamed []model.Key) {
	held := slices.Clone(c.held)
	for _, key := range unnamed {
		at := slices.IndexFunc(held, func(o *model.Object) bool { return o.Kind == key.Kind && o.Namespace == key.Namespace })
		if at < 0 {
			continue
		}
		held = slices.Delete(held, at, at+1)
		c.invalid = slices.DeleteFunc(c.invalid, func(r Refusal) bool { return r.Key == key })
	}
}

// tellDenials adds to problems what is denied because of them.
func tellDenials(problems []model.Problem, refused []Refusal, held []*model.Object) {
	for _, r := range refused {
		if slices.ContainsFunc(held, func(o *model.Object) bool { return o.Key == r.Key }) {
			continue
		}
		for i := range problems {
			p := &problems[i]
			if p.Severity == model.SeverityError && p.Object == r.Key && !strings.HasSuffix(p.Message, r.Consequence()) {
				p.Message += r.Consequence()
			}
		}
	}
}
