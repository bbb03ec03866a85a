package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// explanation is what `pilotctl explain -o json` says.
type explanation struct {
	Steps []struct {
		Stage, Name, Text, Object, Field, File string
		Line                                   int
	} `json:"steps"`
	Outcome struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"outcome"`
}

// explained follows a request of productpage to reviews in the running mesh.
func explained(t *testing.T, m *mesh, url string) explanation {
	t.Helper()
	out, err := m.try("explain", "--from", "productpage-v1", url, "-o", "json")
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 80) {
		t.Fatal(err)
	}
	var e explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return e
}

// fetched makes the request: its status, and the answer.
func fetched(m *mesh, url string) string {
	out, _ := m.try("exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "get", url)
	return out
}

// testExplain holds what explain and diff say of the running mesh against what a client gets, before and after a
// policy is applied.
func testExplain(t *testing.T, m *mesh) {
	const open, closed = "http://reviews:9080/reviews/0", "http://reviews:9080/reviews/1"
	const caller = "cluster.local/ns/default/sa/bookinfo-productpage"
	e := explained(t, m, closed)
	if got := fetched(m, closed); e.Outcome.Status != 0 || !strings.HasPrefix(got, "200") {
		t.Fatalf("explain has status %d, and the client gets %.100s", e.Outcome.Status, got)
	}
	named := false
	for _, s := range e.Steps {
		named = named || s.Stage == "policy" && strings.HasPrefix(s.Name, "reviews-v") && strings.Contains(s.Text, "no policy decides about GET /reviews/1 of "+caller)
	}
	if !named {
		t.Errorf("no step is of the proxy of reviews: %+v", e.Steps)
	}
	const policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: closed}\n" +
		"spec: {selector: {matchLabels: {app: reviews}}, action: DENY, rules: [{to: [{operation: {paths: [/reviews/1]}}]}]}\n"
	next := &mesh{dir: copyDir(t, m.dir)}
	next.write(t, "closed.yaml", policy)
	out, err := m.try("diff", next.dir)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 79 {
		t.Errorf("diff: %v", err)
	}
	const want = "GET /reviews/1 of anybody to any port: allowed -> 403: denied by default/closed spec.rules[0]\n"
	if !strings.Contains(out, "sidecars of namespace default: reviews-v1, reviews-v2, reviews-v3\n") || !strings.Contains(out, want) || strings.Contains(out, "ratings") {
		t.Errorf("diff says\n%s", out)
	}
	m.write(t, "closed.yaml", policy)
	defer func() {
		if err := os.Remove(filepath.Join(m.dir, "closed.yaml")); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "without the policy all is served", func() error {
			if got := fetched(m, closed); !strings.HasPrefix(got, "200") {
				return fmt.Errorf("the client gets %.100s", got)
			}
			return nil
		})
	}()
	eventually(t, 10*time.Second, "the policy denies", func() error {
		if got := fetched(m, closed); !strings.HasPrefix(got, "403") || !strings.Contains(got, "RBAC: access denied") {
			return fmt.Errorf("the client gets %.100s", got)
		}
		return nil
	})
	e = explained(t, m, closed)
	if e.Outcome.Status != 403 || e.Outcome.Body != "RBAC: access denied" {
		t.Errorf("explain has %+v, and the client gets 403", e.Outcome)
	}
	last := e.Steps[len(e.Steps)-1]
	if last.Stage != "policy" || last.Field != "spec.rules[0]" || filepath.Base(last.File) != "closed.yaml" || last.Line != 4 || !strings.Contains(last.Text, caller) {
		t.Errorf("the last step is %+v", last)
	}
	if e, got := explained(t, m, open), fetched(m, open); e.Outcome.Status != 0 || !strings.HasPrefix(got, "200") {
		t.Errorf("explain has status %d, and the client gets %.100s", e.Outcome.Status, got)
	}
	if out := m.ctl(t, "diff", m.dir); out != "" {
		t.Errorf("what is applied changes\n%s", out)
	}
}
