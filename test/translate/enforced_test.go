package translate

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
)

// What `pilotctl authz check` lists is what a real Envoy says that it runs.
func TestEnvoyTellsWhatItEnforces(t *testing.T) {
	policy := func(name, rest string) string {
		return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name + ", namespace: shop" + rest + "\n"
	}
	res := translate(t, providersYAML+workloadYAML+
		policy("nobody", "}\nspec: {}")+
		policy("some", "}\nspec: {rules: [{from: [{source: {namespaces: [a]}}]}, {to: [{operation: {ports: ['9000']}}]}, {to: [{operation: {methods: [GET]}}]}]}")+
		policy("never", "}\nspec: {action: DENY, rules: [{to: [{operation: {methods: [TRACE]}}]}]}")+
		policy("noted", "}\nspec: {action: AUDIT, rules: [{}]}")+
		policy("trial", ", annotations: {istio.io/dry-run: 'true'}}\nspec: {action: DENY, rules: [{}]}")+
		policy("asked", "}\nspec: {action: CUSTOM, provider: {name: http}, rules: [{to: [{operation: {paths: [/a]}}]}]}")+
		policy("others", "}\nspec: {selector: {matchLabels: {app: other}}}"),
		Proxy{Name: "web-0", Namespace: "shop", IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "web"}})
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	for _, l := range inlined(t, res) {
		if l.Name == "virtualInbound" {
			for _, c := range l.FilterChains {
				c.TransportSocket = nil
			}
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
		}
	}
	for _, r := range res.ByType["clusters"] {
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(r.Body.(*clusterv3.Cluster), 1))
	}
	startStatic(t, b)
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/config_dump", b.Admin.Address.GetSocketAddress().GetPortValue()))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := proxyconfig.ParseDump(data)
	if err != nil {
		t.Fatal(err)
	}
	const want = `ACTION           AuthorizationPolicy   RULES
DENY             never.shop            1
DENY (dry-run)   trial.shop            1
ALLOW            nobody.shop           1
ALLOW            some.shop             3
LOG              noted.shop            1
CUSTOM           asked.shop            1
`
	var out bytes.Buffer
	if err := dump.PrintEnforced(&out, proxyconfig.Short); err != nil || out.String() != want {
		t.Errorf("got\n%swant\n%s%v", &out, want, err)
	}
	out.Reset()
	if err := dump.PrintEnforced(&out, proxyconfig.JSON); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"provider": "http"`, `"dryRun": true`, `"listeners": [ "virtualInbound" ]`, `"rules": [ 0, 1, 2 ]`, `"namespace": "shop"`} {
		if text := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(text, part) {
			t.Errorf("the JSON has no %s: %s", part, text)
		}
	}
}
