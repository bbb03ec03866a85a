package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// call is one of our programs' calls of the API server, as its audit log has it.
type call struct {
	RequestURI, Verb string
	User             struct{ Username string }
	ObjectRef        struct{ APIGroup, Resource, Subresource, Name string }
	Annotations      map[string]string
	// RequestReceivedTimestamp is when it came.
	RequestReceivedTimestamp time.Time
}

// denied tells whether the API server's authorizers refused a call.
func (c *call) denied() bool { return c.Annotations["authorization.k8s.io/decision"] == "forbid" }

// calls reads the audit log.
func (w *world) calls() []call {
	w.Helper()
	log, err := os.ReadFile(filepath.Join(w.info.Dir, "audit.log"))
	if err != nil {
		w.Fatal(err)
	}
	var out []call
	for line := range strings.Lines(string(log)) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			w.Fatal(err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		w.Error("the audit log is empty")
	}
	return out
}

// starting is a time in which an API server started: it serves before it knows its rules, and denies until then.
type starting struct{ from, to time.Time }

func (s starting) had(c call) bool {
	return !c.RequestReceivedTimestamp.Before(s.from) && !c.RequestReceivedTimestamp.After(s.to)
}

// nothingWasDenied looks for what our programs asked for in vain.
func (w *world) nothingWasDenied() {
	w.Helper()
	for _, c := range w.calls() {
		if c.denied() && !slices.ContainsFunc(w.starts, func(s starting) bool { return s.had(c) }) {
			w.Errorf("%s may not %s %s", c.User.Username, c.Verb, c.RequestURI)
		}
	}
}

// grant is one thing that a rule allows: one verb on one resource, of one name where the rule has names.
type grant struct{ group, resource, name, verb string }

// grants takes a rule apart.
func grants(rule *rbacv1.PolicyRule) []grant {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var out []grant
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					out = append(out, grant{group, resource, name, verb})
				}
			}
		}
	}
	return out
}

// allows tells whether a grant is what allowed a call.
func (g grant) allows(c *call) bool {
	resource := c.ObjectRef.Resource
	if c.ObjectRef.Subresource != "" {
		resource += "/" + c.ObjectRef.Subresource
	}
	matches := g.resource == resource
	switch prefix, sub, _ := strings.Cut(g.resource, "/"); {
	case g.resource == "*":
		matches = c.ObjectRef.Subresource == ""
	case prefix == "*":
		matches = sub == c.ObjectRef.Subresource
	}
	return matches && g.group == c.ObjectRef.APIGroup && g.verb == c.Verb && (g.name == "" || g.name == c.ObjectRef.Name)
}

// unused are the grants that the test does not use, with the reason why they are there all the same.
var unused = map[grant]string{
	{"", "configmaps", "istio-ca-crl", "update"}: "a plugged-in CA that revokes another certificate",
}

// grantsAreUsed compares what the revision default and its gateways may do with what they did.
func (w *world) grantsAreUsed(ctx context.Context) {
	w.Helper()
	clusterRoles, err := w.client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{LabelSelector: "istio.io/rev=default"})
	if err != nil {
		w.Fatal(err)
	}
	roles, err := w.client.RbacV1().Roles("").List(ctx, metav1.ListOptions{LabelSelector: "istio.io/rev=default"})
	if err != nil {
		w.Fatal(err)
	}
	var allowed []grant
	for _, r := range clusterRoles.Items {
		for i := range r.Rules {
			allowed = append(allowed, grants(&r.Rules[i])...)
		}
	}
	for _, r := range roles.Items {
		if strings.HasPrefix(r.Name, "istio-ingressgateway") || strings.HasPrefix(r.Name, "istio-egressgateway") {
			continue // it is what the control plane asks about, and nobody calls by it
		}
		for i := range r.Rules {
			allowed = append(allowed, grants(&r.Rules[i])...)
		}
	}
	if len(allowed) == 0 {
		w.Fatalf("no rights of %d roles", len(clusterRoles.Items)+len(roles.Items))
	}
	calls := slices.DeleteFunc(w.calls(), func(c call) bool { return c.User.Username == scraper })
	excused := map[grant]bool{}
	for _, g := range allowed {
		used := slices.ContainsFunc(calls, func(c call) bool { return !c.denied() && g.allows(&c) })
		switch _, known := unused[g]; {
		case known && used:
			w.Errorf("%s is said to be unused", g)
		case known:
			excused[g] = true
		case !used:
			w.Errorf("%s was granted and never used", g)
		}
	}
	for g, why := range unused {
		if !excused[g] {
			w.Errorf("%s (%s) is no grant that is unused", g, why)
		}
	}
}

func (g grant) String() string {
	return fmt.Sprintf("%s %s.%s %s", g.verb, g.resource, g.group, g.name)
}
