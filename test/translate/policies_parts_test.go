package translate

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// conditionKeys are those of Istio's reference of authorization conditions.
func conditionKeys() []string {
	return []string{
		"request.headers[x-tier]", "source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount",
		"source.trustDomain", "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "request.auth.claims[role]",
		"destination.ip", "destination.port", "connection.sni",
	}
}

// Each part that a rule can have is the one that did not match in a call of policies/parts.yaml, which
// TestPoliciesDecide makes: no field of from and to, and no key of when, is explained by nobody's example.
func TestEachPartOfARuleIsExplained(t *testing.T) {
	data, err := os.ReadFile("policies/parts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c policyCase
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		t.Fatal(err)
	}
	objects, _ := file.Decode([]byte(c.Policies), "parts.yaml")
	rules := objects[len(objects)-1].Spec.(*security.AuthorizationPolicy).GetRules()
	missed := map[string]bool{}
	said := regexp.MustCompile(`rule\[(\d+)\] did not: (.+)$`)
	for _, call := range c.Calls {
		parts := said.FindStringSubmatch(call.Says)
		if parts == nil {
			continue
		}
		var rule, condition int
		field := parts[2]
		_, _ = fmt.Sscan(parts[1], &rule) // digits
		if n, _ := fmt.Sscanf(field, "when[%d]", &condition); n == 1 {
			field = rules[rule].GetWhen()[condition].GetKey() + regexp.MustCompile(`\..*`).FindString(field)
		}
		missed[field] = true
	}
	var want []string
	for prefix, m := range map[string]protoreflect.ProtoMessage{"from[0].source.": &security.Source{}, "to[0].operation.": &security.Operation{}} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			want = append(want, prefix+fields.Get(i).JSONName())
		}
	}
	for _, key := range conditionKeys() {
		want = append(want, key+".values", key+".notValues")
	}
	for _, part := range want {
		if !missed[part] {
			t.Errorf("no call of parts.yaml misses %s alone, of %v", part, slices.Sorted(maps.Keys(missed)))
		}
	}
}
