package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// refusedCases are objects that are refused, and what denies in their place: its action and selector.
var refusedCases = []struct{ name, text, want string }{
	{"DENY by a value", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]}", "DENY app=web"},
	{"DENY by a field", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, action: DENY, rulez: []}", "DENY app=web"},
	{"no action that can be read", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, acton: DENY}", "DENY app=web"},
	{"no such action", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {action: REFUSE}", "DENY "},
	{"no selector that can be read", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabel: {app: web}}, action: DENY}", "DENY "},
	{"a selector that means nothing", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: 'a b'}}, action: DENY, rules: [{}]}", "DENY "},
	{"two selectors", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, selector: {matchLabels: {app: pay}}, action: DENY}", "DENY "},
	{"CUSTOM", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, action: CUSTOM, rules: [{}]}", "DENY app=web"},
	{"ALLOW", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {}}]}]}", "ALLOW app=web"},
	{"ALLOW by a field", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, action: ALLOW, rulez: []}", "ALLOW app=web"},
	{"AUDIT denies nothing", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {action: AUDIT, rules: [{from: [{source: {}}]}]}", ""},
	{"a dry run denies nothing", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop, annotations: {istio.io/dry-run: 'true'}}\nspec: {action: DENY}", ""},
	{"tokens", "kind: RequestAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, jwtRules: [{jwksUri: 'https://a.example'}]}", "DENY app=web"},
	{"tokens, by a field", "kind: RequestAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, jwtRulez: []}", "DENY app=web"},
	{"peers", "kind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}}", "DENY plaintext "},
	{"peers, by a value", "kind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRIKT}}", "DENY plaintext app=web"},
	{"metadata that does not decode", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop, labels: [a]}\nspec: {action: DENY, rules: [{}]}", "DENY "},
	{"no name", "kind: AuthorizationPolicy\nmetadata: {namespace: shop}\nspec: {action: DENY, rules: [{}]}", "DENY "},
	{"text that does not parse", "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {action: DENY, rules: [{}", "DENY "},
}

func decodedBy(text string) decoded {
	d := &decoder{name: "p.yaml", check: validate.Object}
	doc := splitDocuments(nil, []byte("apiVersion: security.istio.io/v1\n"+text))[0]
	return d.decode(doc, d.write(doc))
}

func denialText(o *model.Object) string {
	if o == nil {
		return ""
	}
	p := o.Spec.(*security.AuthorizationPolicy)
	out := p.GetAction().String() + " "
	switch {
	case len(p.GetRules()) == 1 && len(p.GetRules()[0].GetFrom()) > 0:
		out += "plaintext "
	case (len(p.GetRules()) == 0) != (p.GetAction() == security.AuthorizationPolicy_ALLOW):
		out += "wrong rules "
	}
	for k, v := range p.GetSelector().GetMatchLabels() {
		out += k + "=" + v
	}
	return out
}

func TestWhatIsRefusedDenies(t *testing.T) {
	for _, c := range refusedCases {
		out := decodedBy(c.text)
		if len(out.objects) > 0 || len(out.problems) == 0 || len(out.invalid) != 1 {
			t.Errorf("%s: %d objects, problems %v, refused %v; it is not refused once", c.name, len(out.objects), out.problems, out.invalid)
			continue
		}
		if got := denialText(out.invalid[0].Denial); got != c.want || got != "" && out.invalid[0].Denial.Namespace != "shop" {
			t.Errorf("%s: %q denies, want %q", c.name, got, c.want)
		}
	}
	out := decodedBy("kind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}")
	if len(out.invalid) > 0 || len(out.objects) != 1 {
		t.Errorf("a good policy is refused: %v", out.problems)
	}
	d := &decoder{name: "p.yaml", check: validate.Object}
	doc := splitDocuments(nil, []byte("apiVersion: security.istio.io/v9\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {action: DENY, rules: [{}]}"))[0]
	if out := d.decode(doc, d.write(doc)); len(out.invalid) != 1 || denialText(out.invalid[0].Denial) != "DENY " {
		t.Errorf("a version that is not known: %v denies", out.invalid)
	}
}

// TestARefusalOverTime: new and wrong, mended, wrong again, gone.
func TestARefusalOverTime(t *testing.T) {
	const good = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}\n"
	for name, bad := range map[string]string{
		"a value": strings.Replace(good, "'80'", "'0'", 1), "a text that does not parse": strings.Replace(good, "}]}]}", "}]}]", 1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "p.yaml")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(service("a", "v1")), 0o600); err != nil {
				t.Fatal(err)
			}
			write(bad)
			r := startWith(t, Options{Quiet: 10 * time.Millisecond, Settle: 100 * time.Millisecond, Poll: 50 * time.Millisecond}, dir)
			key := model.Key{Kind: model.KindAuthorizationPolicy, Namespace: "shop", Name: "p"}
			denials := func() (n int) {
				for k := range r.objects {
					if strings.HasPrefix(k.Name, "refused:") {
						n++
					}
				}
				return n
			}
			r.eventually(t, "a denial", func() bool { return denials() == 1 && r.objects[key] == nil })
			if name == "a value" {
				r.eventually(t, "its problem", func() bool { return r.hasProblem("every call of what it selects is denied") })
			}
			write(good)
			r.eventually(t, "the policy", func() bool { return denials() == 0 && r.objects[key] != nil })
			write(bad)
			r.eventually(t, "the former version", func() bool { return r.hasProblem("stays in effect") && denials() == 0 && r.objects[key] != nil })
			write(good)
			r.eventually(t, "no problem", func() bool { return len(r.problems) == 0 && r.objects[key] != nil })
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			r.eventually(t, "nothing", func() bool { return denials() == 0 && r.objects[key] == nil })
		})
	}
}

// TestNoSlipOfThePenOpens takes a character out of, or doubles it in, texts of objects that deny: each is
// taken over, or something denies in its place.
func TestNoSlipOfThePenOpens(t *testing.T) {
	const meta = "\nmetadata: {name: p, namespace: shop}\nspec:\n"
	for _, text := range []string{
		"kind: AuthorizationPolicy" + meta + "  selector: {matchLabels: {app: web}}\n  action: DENY\n  rules:\n  - from: [{source: {ipBlocks: [10.0.0.0/8]}}]\n    to: [{operation: {ports: ['80']}}]\n",
		"kind: AuthorizationPolicy" + meta + "  action: CUSTOM\n  provider: {name: ext}\n  rules: [{}]\n",
		"kind: AuthorizationPolicy" + meta + "  rules:\n  - when: [{key: source.ip, values: [10.0.0.1]}]\n",
		"kind: RequestAuthentication" + meta + "  jwtRules:\n  - issuer: me\n    jwksUri: https://a.example/keys\n",
		"kind: PeerAuthentication" + meta + "  selector: {matchLabels: {app: web}}\n  mtls: {mode: STRICT}\n  portLevelMtls: {80: {mode: DISABLE}}\n",
	} {
		for i := range text {
			for _, slip := range []string{text[:i] + text[i+1:], text[:i] + text[i:i+1] + text[i:]} {
				out := decodedBy(slip)
				some := len(out.objects) > 0
				for _, r := range out.invalid {
					some = some || r.Denial != nil
				}
				if !some {
					t.Errorf("nothing denies in the place of\n%s\n%v", slip, out.problems)
				}
			}
		}
	}
}
