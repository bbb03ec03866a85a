package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testDebugPages asks the control plane from a pod, so not from its own machine: without a proof
// there is nothing to see, with a pod's token what was sent to proxies of its namespace, and with
// one of the root namespace all.
func testDebugPages(t *testing.T, m *mesh) {
	table := m.ctl(t, "proxy-status")
	pod := func(pattern string) string { return regexp.MustCompile(pattern).FindString(table) }
	product, gateway := pod(`productpage-v1[-\w]*`), pod(`istio-ingressgateway[-\w]*`)
	own, root := podToken(t, product), podToken(t, gateway)
	for _, c := range []struct{ name, token, path, want string }{
		{"nobody", "", "syncz", "401"},
		{"a forger", own[:len(own)-9], "syncz", "401"},
		{"a pod", own, "syncz", "403"},
		{"a pod, profiles", own, "pprof/goroutine", "403"},
		{"a pod, its own proxy", own, "config_dump?proxyID=" + product + ".default", "200"},
		{"a pod, another namespace's proxy", own, "config_dump?proxyID=" + gateway + ".istio-system", "403"},
		{"the root namespace", root, "syncz", "200"},
		{"nobody, the page", "", "dashboard/", "401"},
		{"a pod, the page", own, "dashboard/", "403"},
		{"a pod, the page of its own proxy", own, "dashboard/proxy?proxyID=" + product + ".default", "403"},
		{"the root namespace, the page", root, "dashboard/", "200"},
	} {
		get := []string{"exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "get", "http://istiod.istio-system:15014/debug/" + c.path}
		if c.token != "" {
			get = append(get, "Authorization:Bearer "+c.token)
		}
		if out, err := m.try(get...); err != nil || !strings.HasPrefix(out, c.want) {
			t.Errorf("%s: %.80s %v, want %s", c.name, out, err, c.want)
		}
	}
}

// podToken reads what a pod's agent has mounted, whose image has no program to show it.
func podToken(t *testing.T, pod string) string {
	t.Helper()
	agents, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, environ := range agents {
		env, err := os.ReadFile(environ)
		if err != nil || !bytes.Contains(env, []byte("POD_NAME="+pod+"\x00")) { // it may have ended
			continue
		}
		token, err := os.ReadFile(filepath.Join(filepath.Dir(environ), "root/var/run/secrets/tokens/istio-token"))
		if err == nil {
			return strings.TrimSpace(string(token))
		}
	}
	t.Fatalf("no process of pod %q has a token", pod)
	return ""
}
