package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// injectorServer is an API server that has ConfigMaps with what an installation says of injection, and ProxyConfigs.
func injectorServer(t *testing.T, proxyConfigs http.HandlerFunc, maps map[string]map[string]string) (kubeconfig string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/proxyconfigs") {
			proxyConfigs(w, r)
			return
		}
		data, ok := maps[strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "there is none"}`)
			return
		}
		text, err := json.Marshal(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "data": data})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "config")
	writeFile(t, kubeconfig, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: "%s"}}], contexts: [{name: x, context: {cluster: x}}]}`, server.URL))
	return kubeconfig
}

const injectedPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: app, image: x}]}\n"

// threads gives a ProxyConfig, as JSON, by which proxies have so many threads.
func threads(namespace, name string, concurrency int) string {
	if namespace != "" {
		namespace = fmt.Sprintf(`"namespace": "%s", `, namespace)
	}
	return fmt.Sprintf(`{"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "metadata": {%s"name": "%s"}, "spec": {"concurrency": %d}}`, namespace, name, concurrency)
}

// What no file gives comes from the ConfigMaps of the revision, or of a name; ProxyConfigs from the cluster, and before
// these from the manifests, whose objects are of the namespace that is given.
func TestKubeInjectOfACluster(t *testing.T) {
	in := newInjection(t)
	texts := map[string]string{}
	for i, part := range []string{"config", "mesh", "values"} {
		text, err := os.ReadFile(in.flags[2*i+1])
		if err != nil {
			t.Fatal(err)
		}
		texts[part] = string(text)
	}
	injector, mesh := map[string]string{"config": texts["config"], "values": texts["values"]}, map[string]string{"mesh": texts["mesh"]}
	none := func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }
	some := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"kind": "ProxyConfigList", "apiVersion": "networking.istio.io/v1beta1", "items": [%s, %s]}`, threads("shop", "threads", 3), threads("other", "threads", 5))
	}
	forbidden := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "you may not"}`)
	}
	usual := map[string]map[string]string{"istio-system/configmaps/istio-sidecar-injector": injector, "istio-system/configmaps/istio": mesh}
	for name, c := range map[string]struct {
		server http.HandlerFunc
		maps   map[string]map[string]string
		text   string
		args   []string
		want   string // in what is written; "" for no threads
		said   string
	}{
		"by the usual names":      {none, usual, injectedPod, nil, "", ""},
		"a ProxyConfig":           {some, usual, injectedPod, nil, `"concurrency":3`, ""},
		"one of the manifests":    {some, usual, threads("", "threads", 4) + "\n---\n" + injectedPod, nil, `"concurrency":4`, ""},
		"not one of elsewhere":    {none, usual, threads("other", "threads", 4) + "\n---\n" + injectedPod, nil, "", ""},
		"none may be asked":       {forbidden, usual, injectedPod, nil, "", "those of the manifests count alone"},
		"a revision, elsewhere":   {none, map[string]map[string]string{"mesh/configmaps/istio-sidecar-injector-v2": injector, "mesh/configmaps/istio-v2": mesh}, injectedPod, []string{"-r", "v2", "-i", "mesh"}, "", ""},
		"ConfigMaps of any names": {none, map[string]map[string]string{"istio-system/configmaps/a": injector, "istio-system/configmaps/b": mesh}, injectedPod, []string{"--injectConfigMapName", "a", "--meshConfigMapName", "b"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out, said bytes.Buffer
			cmd := newRoot()
			cmd.SetIn(strings.NewReader(c.text))
			cmd.SetOut(&out)
			cmd.SetErr(&said)
			cmd.SetArgs(append([]string{"kube-inject", "-f", "-", "-n", "shop", "--kubeconfig", injectorServer(t, c.server, c.maps)}, c.args...))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			pod := out.String()[strings.LastIndex(out.String(), "kind: Pod"):]
			if !strings.Contains(pod, "name: istio-proxy") || !strings.Contains(pod, c.want) || c.want == "" && strings.Contains(pod, "concurrency") {
				t.Errorf("%q is not in\n%s", c.want, pod)
			}
			if !strings.Contains(said.String(), c.said) || c.said == "" && said.Len() > 0 {
				t.Errorf("on stderr %q", said.String())
			}
		})
	}
}
