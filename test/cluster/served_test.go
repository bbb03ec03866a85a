package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// pilotctl prepares a run of the command line against the cluster.
func (w *world) pilotctl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, root+"/bin/pilotctl", append(args, "--kubeconfig", w.info.Kubeconfig)...)
}

// run gives what pilotctl says.
func (w *world) run(ctx context.Context, args ...string) string {
	w.Helper()
	out, err := w.pilotctl(ctx, args...).CombinedOutput()
	if err != nil {
		w.Fatalf("pilotctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pageIsServed serves the page of the control plane to this machine, by a port-forward of the API server.
func (w *world) pageIsServed(ctx context.Context) {
	w.Helper()
	cmd := w.pilotctl(ctx, "dashboard", "productpage-v1")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.Fatalf("pilotctl dashboard: %v: %s", errors.Join(err, cmd.Wait()), said.String())
	}
	proxy := strings.TrimSpace(line)
	whole, _, _ := strings.Cut(proxy, "proxy?")
	for url, want := range map[string][]string{
		whole: {"productpage", "istio-ingressgateway"}, proxy: {"productpage-v1-", "reviews.default.svc.cluster.local"},
	} {
		w.until(ctx, "the page at "+url, func(ctx context.Context) (bool, error) {
			body, err := fetch(ctx, url)
			for _, text := range want {
				if err == nil && !strings.Contains(body, text) {
					err = errors.New("it has no " + text)
				}
			}
			return err == nil, err
		})
	}
	// Without its secret nobody of this machine sees it.
	if secret := strings.SplitN(whole, "/", 5); len(secret) > 3 {
		resp, err := http.Get(strings.Join(secret[:3], "/") + "/")
		if err != nil {
			w.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
			w.Errorf("the page without its secret: %s", resp.Status)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		w.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		w.Errorf("pilotctl dashboard: %v: %s", err, said.String())
	}
}

// requestsAreTold prints the requests of a pod while pages are asked for.
func (w *world) requestsAreTold(ctx context.Context, url string) {
	w.Helper()
	l := loading(ctx, url)
	defer l.end(w)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := w.pilotctl(ctx, "tap", "productpage-v1", "--direction", "in", "--path", "/productpage", "--max", "2", "-o", "json").Output()
	if err != nil {
		w.Fatalf("pilotctl tap: %v", err)
	}
	told := 0
	for line := range strings.Lines(string(out)) {
		if !json.Valid([]byte(line)) || !strings.Contains(line, "/productpage") {
			w.Errorf("told: %s", line)
		}
		told++
	}
	if told != 2 {
		w.Errorf("%d requests were told, not 2:\n%s", told, out)
	}
}

// namesComplete has the shell complete the names of pods.
func (w *world) namesComplete(ctx context.Context) {
	w.Helper()
	pods := []string{"\nproductpage-v1-", ".default\n", "\nistio-ingressgateway-", ".istio-system\n"}
	for command, wanted := range map[string][]string{
		"proxy-config cluster": pods, "proxy-status": pods, "dashboard": pods, "authn tls-check": pods, "tap": append(pods, "\nreviews.default\n"),
		"authn tls-check productpage-v1.default": {"\nreviews.default.svc.cluster.local\n"}, "proxy-config cluster --fqdn": {"\nreviews.default.svc.cluster.local\n"},
	} {
		// Flags come before what is completed.
		words := strings.Fields(command)
		args := slices.Concat([]string{"__complete"}, words[:1], []string{"--kubeconfig", w.info.Kubeconfig}, words[1:], []string{""})
		out, err := exec.CommandContext(ctx, root+"/bin/pilotctl", args...).Output()
		if err != nil {
			w.Errorf("completion of %s: %v", command, err)
			continue
		}
		for _, want := range wanted {
			if !strings.Contains("\n"+string(out), want) {
				w.Errorf("completion of %s has no %q:\n%s", command, want, out)
			}
		}
		if strings.Contains(string(out), "istiod-") {
			w.Errorf("completion of %s has a pod without a proxy:\n%s", command, out)
		}
	}
}
