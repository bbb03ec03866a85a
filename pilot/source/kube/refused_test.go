package kube

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestWhatIsRefusedDenies follows a policy that is wrong from its beginning, is mended, and is wrong again.
func TestWhatIsRefusedDenies(t *testing.T) {
	const policies = "security.istio.io/v1/authorizationpolicies"
	policy := func(port string) object {
		return object{
			"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": object{"name": "p", "namespace": "shop"},
			"spec": object{"action": "DENY", "rules": []any{object{"to": []any{object{"operation": object{"ports": []any{port}}}}}}},
		}
	}
	api, url := newAPIServer(t, policies)
	api.put(definitionsPath, definition("authorizationpolicies.security.istio.io"))
	api.put(policies, policy("0"))
	w := run(t, url)
	is := w.has(model.KindAuthorizationPolicy, "shop", "p")
	denied := w.has(model.KindAuthorizationPolicy, "shop", "refused:AuthorizationPolicy:p")
	told := func(text string) bool {
		return slices.ContainsFunc(w.problems, func(p model.Problem) bool { return strings.Contains(p.Message, text) })
	}
	w.until("a denial", func() bool { return denied() && !is() && told("every call of what it selects is denied") })
	api.put(policies, policy("80"))
	w.until("the policy", func() bool { return is() && !denied() && len(w.problems) == 0 })
	api.put(policies, policy("0"))
	w.until("the former version", func() bool { return is() && !denied() && told("no port") && !told("is denied") })
	api.remove(policies, policy("0"))
	w.until("nothing", func() bool { return !is() && !denied() })
}
