package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A refused object of security is not absent: what stands in for it lets no more pass than it would.
func TestWhatStandsInForARefusedPolicy(t *testing.T) {
	const web = `selector:{match_labels:{key:"app" value:"web"}} `
	const deny, strict = `rules:{} action:DENY`, `mtls:{mode:STRICT}`
	for _, c := range []struct{ name, kind, body, want string }{
		{"misspelt", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENY, rulse: []}`, web + deny},
		{"misspelt action", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, acton: DENY, rules: []}`, web + deny},
		{"another type", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: {}}`, web + deny},
		{"no such action", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENI, rules: []}`, web + deny},
		{"what makes no sense", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{when: [{key: "", values: [a]}]}]}`, web + deny},
		{"custom without provider", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: CUSTOM, rules: [{}]}`, web + deny},
		{"a key twice", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENY, action: ALLOW}`, web + deny},
		{"broken metadata", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{}]}`, web + deny},
		{"selects nobody can tell whom", "AuthorizationPolicy", `spec: {selector: {matchLabels: [app]}, action: DENY, rules: [{}]}`, deny},
		{"selects what no label can be", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: "we*"}}, action: DENY, rules: [{}]}`, deny},
		{
			"references", "AuthorizationPolicy", `spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}], action: DENY, rulse: []}`,
			`rules:{} action:DENY targetRefs:{group:"gateway.networking.k8s.io" kind:"Gateway" name:"g"}`,
		},
		{"allow", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, rules: [{when: [{key: "", values: [a]}]}]}`, web},
		{"allow that does not decode", "AuthorizationPolicy", `spec: {selector: {matchLabels: {app: web}}, action: ALLOW, rules: {}}`, web},
		{"audit", "AuthorizationPolicy", `spec: {action: AUDIT, rules: {}}`, "none"},
		{"tokens", "RequestAuthentication", `spec: {selector: {matchLabels: {app: web}}, jwtRules: [{isuer: a}]}`, web + `jwt_rules:{}`},
		{"tokens of no issuer", "RequestAuthentication", `spec: {jwtRules: [{jwksUri: "https://a.example"}]}`, `jwt_rules:{}`},
		{"peers", "PeerAuthentication", `spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRIKT}}`, web + strict},
		{"another kind", "Telemetry", `spec: {x: y}`, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			version := "security.istio.io/v1"
			if c.kind == "Telemetry" {
				version = "telemetry.istio.io/v1"
			}
			meta := "{name: guard, namespace: shop}"
			if c.name == "broken metadata" {
				meta = "{name: guard, namespace: shop, labels: [a]}"
			}
			r := readers(Options{})()
			doc := document{text: []byte("apiVersion: " + version + "\nkind: " + c.kind + "\nmetadata: " + meta + "\n" + c.body + "\n"), base: 1, line: 1}
			out := r.decode(doc, r.write(doc))
			if len(out.problems) == 0 || len(out.invalid) != 1 {
				t.Fatalf("it is not refused: %v", out)
			}
			if c.want == "none" {
				if len(out.objects) > 0 {
					t.Errorf("%v stands in", out.objects[0].Spec)
				}
				return
			}
			told := slices.ContainsFunc(out.problems, func(p model.Problem) bool { return strings.Contains(p.Message, "unless a former version") })
			if len(out.objects) != 1 || !out.objects[0].StandsIn || out.objects[0].Key != out.invalid[0] || !told {
				t.Fatalf("%v, %v", out.objects, out.problems)
			}
			got := out.objects[0].Spec.(proto.Message)
			want := got.ProtoReflect().New().Interface()
			if err := prototext.Unmarshal([]byte(c.want), want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestADryRunThatIsRefusedDecidesNothing(t *testing.T) {
	r := readers(Options{})()
	doc := document{text: []byte("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, annotations: {istio.io/dry-run: \"true\"}}\nspec: {action: DENY, x: y}\n"), base: 1, line: 1}
	if out := r.decode(doc, r.write(doc)); len(out.objects) > 0 || len(out.problems) == 0 {
		t.Errorf("%v", out)
	}
}

// What was in effect is preferred to a stand-in, whatever becomes of the file, and what is mended takes its place.
func TestAStandInGivesWay(t *testing.T) {
	policy := func(name, action string) string {
		return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec: {action: " + action + ", rules: [{to: [{operation: {ports: [\"80\"]}}]}]}\n"
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, path, policy("old", "DENY")+"---\n"+policy("new", "DENI"))
	r := start(t, dir)
	at := func(name string) *model.Object {
		return r.objects[model.Key{Kind: model.KindAuthorizationPolicy, Namespace: "shop", Name: name}]
	}
	if o := at("new"); o == nil || !o.StandsIn || !r.hasProblem("all that it selects is denied") {
		t.Fatalf("at first: %v, %v", o, r.problems)
	}
	old := at("old")
	write(t, path, policy("old", "DENI")+"---\n"+policy("new", "DENY"))
	r.eventually(t, "one broken, one mended", func() bool { return !at("new").StandsIn && r.hasProblem("old") })
	if at("old") != old || !r.hasProblem("last good version stays in effect") {
		t.Errorf("%v, %v", at("old"), r.problems)
	}
	if err := os.Rename(path, filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c.yaml"), service("b", "one"))
	r.eventually(t, "the file has another name", func() bool { return r.value("b") == "one" && r.hasProblem("b.yaml") })
	if at("old") != old {
		t.Errorf("the former version went with the file's name: %v", at("old"))
	}
	write(t, filepath.Join(dir, "b.yaml"), policy("new", "DENY"))
	r.eventually(t, "deleted", func() bool { return at("old") == nil && len(r.problems) == 0 })
}
