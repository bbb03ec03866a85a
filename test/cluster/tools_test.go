package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// upgrades changes an installation in place by the command line.
func (w *world) upgrades(ctx context.Context) {
	w.Helper()
	run := func(fails bool, args ...string) string {
		w.Helper()
		out, err := exec.CommandContext(ctx, root+"/bin/pilotctl", append(args, "--kubeconfig", w.info.Kubeconfig)...).CombinedOutput()
		if (err != nil) != fails {
			w.Errorf("pilotctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	overlaid := filepath.Join(w.TempDir(), "overlaid.yaml")
	if err := os.WriteFile(overlaid, []byte(overlay), 0o600); err != nil {
		w.Fatal(err)
	}
	for _, step := range []struct {
		fails bool
		args  string
		want  []string
	}{
		{false, "upgrade --dry-run", []string{"from dev to dev", "0 objects to create, 0 to change, 0 to delete"}},
		{false, "upgrade --set meshConfig.accessLogFile=/dev/stdout --set values.pilot.autoscaleMin=2 --dry-run", []string{
			"create PodDisruptionBudget/istio-system/istiod", "change ConfigMap/istio-system/istio\n", "change HorizontalPodAutoscaler/istio-system/istiod", "1 objects to create, 2 to change, 0 to delete",
		}},
		{false, "upgrade --set meshConfig.accessLogFile=/dev/stdout --set values.pilot.autoscaleEnabled=false -y", []string{
			"delete HorizontalPodAutoscaler/istio-system/istiod", "the mesh is ready",
		}},
		// What was said before is kept, and an egress gateway comes, in a namespace that is made for it.
		{false, "upgrade --set components.egressGateways[0].enabled=true --set components.egressGateways[0].namespace=outside", []string{
			"0 to change, 0 to delete", "istio-egressgateway: 1 of 1 are ready",
		}},
		{false, "upgrade --dry-run", []string{"0 objects to create, 0 to change, 0 to delete"}},
		{false, "upgrade -f " + overlaid, []string{"0 objects to create, 1 to change, 0 to delete", "change Service/istio-system/istiod", "the mesh is ready"}},
		{true, "upgrade --revision none", []string{"not installed", "pilotctl install --revision none"}},
		{true, "upgrade --set values.pilot.traceSampling=1", []string{"values.pilot.traceSampling"}},
		{false, "install -y", []string{"the mesh is ready"}},
	} {
		out := run(step.fails, strings.Fields(step.args)...)
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				w.Errorf("pilotctl %s has no %q:\n%s", step.args, want, out)
			}
		}
		if team, err := w.team(ctx); err != nil || (team == "mesh") != strings.Contains(step.args, overlaid) && !step.fails {
			w.Errorf("after pilotctl %s the overlay's annotation is %q, %v", step.args, team, err)
		}
	}
}

// overlay is a file that changes one object of the control plane after everything else.
const overlay = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  components:
    pilot:
      k8s:
        overlays:
        - kind: Service
          name: istiod
          patches:
          - path: metadata.annotations.example\.com/team
            value: mesh
`

// team gives what the overlay writes.
func (w *world) team(ctx context.Context) (string, error) {
	service, err := w.client.CoreV1().Services("istio-system").Get(ctx, "istiod", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return service.Annotations["example.com/team"], nil
}

// toolsReachProxies runs the command line against the cluster: it reaches control plane and proxies through
// the API server.
func (w *world) toolsReachProxies(ctx context.Context) {
	w.Helper()
	run := func(args ...string) string {
		w.Helper()
		cmd := exec.CommandContext(ctx, root+"/bin/pilotctl", append(args, "--kubeconfig", w.info.Kubeconfig)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			w.Errorf("pilotctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	all := run("proxy-status")
	for _, want := range []string{"productpage-v1-", ".default", "istio-ingressgateway-", "SYNCED"} {
		if !strings.Contains(all, want) {
			w.Errorf("proxy-status has no %s:\n%s", want, all)
		}
	}
	if one := run("proxy-status", "productpage-v1"); !strings.Contains(one, "Match") {
		w.Errorf("of one proxy:\n%s", one)
	}
	if clusters := run("proxy-config", "cluster", "productpage-v1.default"); !strings.Contains(clusters, "reviews.default.svc.cluster.local") {
		w.Errorf("clusters:\n%s", clusters)
	}
	if endpoints := run("proxy-config", "endpoint", "productpage-v1.default"); !strings.Contains(endpoints, "HEALTHY") {
		w.Errorf("endpoints:\n%s", endpoints)
	}
	if loggers := run("proxy-config", "log", "productpage-v1", "--level", "http:debug"); !strings.Contains(loggers, "http: debug") {
		w.Errorf("loggers:\n%s", loggers)
	}
	if version := run("version"); !strings.Contains(version, "control plane version: ") || !strings.Contains(version, " (7 proxies)") {
		w.Errorf("version: %s", version)
	}
	if verified := run("verify-install"); !strings.Contains(verified, "are there and ready") {
		w.Errorf("verify-install: %s", verified)
	}
}
