package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// kubectl gives what Kubernetes' own command line says, with an input.
func (w *world) kubectl(ctx context.Context, input string, args ...string) string {
	w.Helper()
	out, err := w.asks(ctx, input, args...)
	if err != nil {
		w.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// asks is kubectl where that may fail.
func (w *world) asks(ctx context.Context, input string, args ...string) (string, error) {
	w.Helper()
	// What it remembers of the API server is this cluster's, and goes with it.
	args = append([]string{"--kubeconfig", w.info.Kubeconfig, "--cache-dir", filepath.Join(w.info.Dir, "kubectl")}, args...)
	cmd := exec.CommandContext(ctx, root+"/.tools/kubernetes/kubectl", args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sample gives a file of the bookinfo sample, with our images.
func (w *world) sample(file string) string {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(root, "samples/bookinfo", file))
	if err != nil {
		w.Fatal(err)
	}
	return string(ourImages(text))
}

// routes is a VirtualService of the reviews in the default namespace, with an HTTP rule.
func routes(name, rule string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: default}\nspec:\n  hosts: [reviews]\n  http:\n  - %s\n", name, rule)
}

// weighted is such a rule that splits by weights.
func weighted(weights map[string]int) string {
	var to []string
	for version, weight := range weights {
		to = append(to, fmt.Sprintf("{destination: {host: reviews, subset: %s}, weight: %d}", version, weight))
	}
	slices.Sort(to)
	return "{route: [" + strings.Join(to, ", ") + "]}"
}

// kindsAreShown has kubectl show Istio's kinds: by their short names in columns of their own, and by their schemas.
func (w *world) kindsAreShown(ctx context.Context) {
	w.Helper()
	w.kubectl(ctx, "", "wait", "--for=condition=Established", "crd/virtualservices.networking.istio.io", "--timeout=1m")
	for _, c := range []struct {
		args string
		want []string // lines, as fields
	}{
		{"get vs -A", []string{"NAMESPACE NAME GATEWAYS HOSTS AGE", `default bookinfo ["bookinfo-gateway"] ["*"] `}},
		{"get dr -A", []string{"NAMESPACE NAME HOST AGE", "default reviews reviews "}},
		{"get gw -A", []string{"NAMESPACE NAME AGE", "default bookinfo-gateway "}},
		{"get vs,dr,gw -A", []string{"default virtualservice.networking.istio.io/bookinfo ", "default destinationrule.networking.istio.io/ratings ", "default gateway.networking.istio.io/bookinfo-gateway "}},
		{"get pa", []string{"NAME MODE AGE", "default STRICT "}},
		{"get istio-io", []string{"virtualservice.networking.istio.io/bookinfo ", "peerauthentication.security.istio.io/default "}},
		{"explain virtualservice.spec", []string{"KIND: VirtualService", "VERSION: v1", "hosts <[]string>", "http <[]Object>"}},
		{"explain virtualservice.spec.http.route.destination.subset", []string{"FIELD: subset <string>"}},
	} {
		out := w.kubectl(ctx, "", strings.Fields(c.args)...)
		var lines []string
		for line := range strings.Lines(out) {
			lines = append(lines, strings.Join(strings.Fields(line), " ")+" ")
		}
		for _, want := range c.want {
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
				w.Errorf("kubectl %s has no line %q:\n%s", c.args, want, out)
			}
		}
	}
}
