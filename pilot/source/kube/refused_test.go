package kube

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

// TestWhatIsRefusedDenies follows a policy that is wrong from its beginning, is mended, and is wrong again.
func TestWhatIsRefusedDenies(t *testing.T) {
	const policies = "security.istio.io/v1/authorizationpolicies"
	policy := func(port string) kubetest.Object {
		return kubetest.Object{
			"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": kubetest.Object{"name": "p", "namespace": "shop"},
			"spec": kubetest.Object{"action": "DENY", "rules": []any{kubetest.Object{"to": []any{kubetest.Object{"operation": kubetest.Object{"ports": []any{port}}}}}}},
		}
	}
	api, url := kubetest.New(t, policies)
	api.Put(kubetest.Definitions, definition("authorizationpolicies.security.istio.io"))
	api.Put(policies, policy("0"))
	w := run(t, url)
	is := w.has(model.KindAuthorizationPolicy, "shop", "p")
	denied := w.has(model.KindAuthorizationPolicy, "shop", "refused:AuthorizationPolicy:p")
	told := func(text string) bool {
		return slices.ContainsFunc(w.problems, func(p model.Problem) bool { return strings.Contains(p.Message, text) })
	}
	w.until("a denial", func() bool { return denied() && !is() && told("every call of what it selects is denied") })
	api.Put(policies, policy("80"))
	w.until("the policy", func() bool { return is() && !denied() && len(w.problems) == 0 })
	api.Put(policies, policy("0"))
	w.until("the former version", func() bool { return is() && !denied() && told("no port") && !told("is denied") })
	api.Remove(policies, policy("0"))
	w.until("nothing", func() bool { return !is() && !denied() })
}
