package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Secrets are for gateways, and for those sidecars alone which a rule selects that names some.
func TestNeedsSecrets(t *testing.T) {
	rule := func(selector, tls string) string {
		return `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r, namespace: default}, spec: {host: far.test, ` + selector + `trafficPolicy: {tls: {` + tls + `}}}}`
	}
	selecting := "workloadSelector: {matchLabels: {app: client}}, "
	for name, c := range map[string]struct {
		rule  string
		proxy model.Proxy
		want  bool
	}{
		"a gateway":                {rule("", "mode: SIMPLE"), model.Proxy{Type: model.RouterProxy, Namespace: "default"}, true},
		"a selected sidecar":       {rule(selecting, "mode: MUTUAL, credentialName: c"), model.Proxy{Type: model.SidecarProxy, Namespace: "default", Labels: map[string]string{"app": "client"}}, true},
		"one with other labels":    {rule(selecting, "mode: MUTUAL, credentialName: c"), model.Proxy{Type: model.SidecarProxy, Namespace: "default", Labels: map[string]string{"app": "other"}}, false},
		"one of another namespace": {rule(selecting, "mode: MUTUAL, credentialName: c"), model.Proxy{Type: model.SidecarProxy, Namespace: "other", Labels: map[string]string{"app": "client"}}, false},
		"a rule without a Secret":  {rule(selecting, "mode: SIMPLE"), model.Proxy{Type: model.SidecarProxy, Namespace: "default", Labels: map[string]string{"app": "client"}}, false},
		"a rule without selector":  {rule("", "mode: MUTUAL, credentialName: c"), model.Proxy{Type: model.SidecarProxy, Namespace: "default", Labels: map[string]string{"app": "client"}}, false},
	} {
		if got := resolve.NeedsSecrets(read(t, c.rule), &c.proxy); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
