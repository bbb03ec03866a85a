package cluster

import (
	"context"
	"os/exec"
	"strings"
)

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
	if verified := run("verify-install"); !strings.Contains(verified, "are there and ready") {
		w.Errorf("verify-install: %s", verified)
	}
}
