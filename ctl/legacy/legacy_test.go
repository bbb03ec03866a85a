package legacy

import (
	"bytes"
	"strings"
	"testing"
)

// written translates a document.
func written(t *testing.T, text string) string {
	t.Helper()
	tr := &Translator{}
	if err := tr.Read("old.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tr.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What has no equal is said, and allows nothing.
func TestWhatHasNoEqualAllowsNothing(t *testing.T) {
	role := func(rule string) string {
		return "apiVersion: rbac.istio.io/v1alpha1\nkind: ServiceRole\nmetadata: {name: r}\nspec: {rules: [{" + rule + "}]}\n---\n"
	}
	binding := func(subject string) string {
		return "apiVersion: rbac.istio.io/v1alpha1\nkind: ServiceRoleBinding\nmetadata: {name: b}\nspec: {subjects: [{" + subject + "}], roleRef: {kind: ServiceRole, name: r}}\n"
	}
	for input, says := range map[string]string{
		role("services: ['*'], constraints: [{key: destination.user, values: [x]}]") + binding("user: '*'"):         "NO EQUAL: rule 0 of ServiceRole default/r: constraint destination.user",
		role("services: ['*'], constraints: [{key: 'destination.labels[v]', values: [a*]}]") + binding("user: '*'"): "NO EQUAL: rule 0 of ServiceRole default/r: constraint destination.labels[v]",
		role("services: ['web*']") + binding("user: '*'"):                                                           `NO EQUAL: rule 0 of ServiceRole default/r is for the services "web*"`,
		role("services: ['*']") + binding("properties: {source.uid: x}"):                                            "NO EQUAL: subject 0 of ServiceRoleBinding default/b: property source.uid",
		role("services: ['*']") + binding("names: [a], user: b"):                                                    "it has both user and names",
		role("services: ['*']") + binding("names: [a], properties: {source.principal: b}"):                          "it says source.principal twice",
		role("services: ['*']") + binding(""):                                                                       "it names nobody",
		role("services: ['*']"):                                                                                     "nobody is bound to it",
		role("services: [web.other.svc.cluster.local]") + binding("user: '*'"):                                      "is for a service of another namespace",
		binding("user: '*'"): `names the ServiceRole "r", which is not here`,
	} {
		out := written(t, input)
		if !strings.Contains(out, says) {
			t.Errorf("of %s it does not say %q:\n%s", input, says, out)
		}
		if strings.Contains(out, "ALLOW") {
			t.Errorf("%s allows something:\n%s", input, out)
		}
	}
}

func TestModes(t *testing.T) {
	policy := func(spec string) string {
		return "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: default, namespace: a}\nspec: {" + spec + "}\n"
	}
	config := func(spec string) string {
		return "apiVersion: rbac.istio.io/v1alpha1\nkind: RbacConfig\nmetadata: {name: default}\nspec: {" + spec + "}\n"
	}
	for input, want := range map[string]string{
		policy("peers: [{mtls: null}]"):                     "mode: STRICT",
		policy("peers: [{mtls: {}}]"):                       "mode: STRICT",
		policy("peers: [{mtls: {mode: PERMISSIVE}}]"):       "mode: PERMISSIVE",
		policy("peers: [{mtls: {}}], peerIsOptional: true"): "mode: PERMISSIVE",
		policy(""):                               "mode: DISABLE",
		policy("origins: [{jwt: {issuer: me}}]"): "notRequestPrincipals:\n        - me/*",
		config("mode: ON"):                       "namespace: istio-system\nspec: {}",
		config("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [a]}"): "namespace: a\nspec: {}",
		config("mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [a]}"): "namespace: a\nspec:\n  rules:\n  - {}",
		config("mode: 'OFF'"): "mode OFF",
	} {
		if out := written(t, input); !strings.Contains(out, want) {
			t.Errorf("of %s there is no %q:\n%s", input, want, out)
		}
	}
	if out := written(t, policy("origins: [{jwt: {issuer: me}}], originIsOptional: true")); strings.Contains(out, "AuthorizationPolicy") {
		t.Errorf("an optional token is asked for:\n%s", out)
	}
}
