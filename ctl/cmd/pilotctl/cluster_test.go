package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
)

// apiServer stands in for an API server that knows replicas of the control plane, and forwards to their ports.
type apiServer struct {
	t        *testing.T
	replicas map[string]http.Handler // by name; nil for one that nothing reaches
	objects  map[string]any          // by their paths
}

// cluster gives a mesh of these replicas.
func cluster(t *testing.T, replicas map[string]http.Handler) *clusterMesh {
	t.Helper()
	server := httptest.NewServer(&apiServer{t: t, replicas: replicas})
	t.Cleanup(server.Close)
	m, err := openCluster(&rest.Config{Host: server.URL}, "istio-system")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const pods = "/api/v1/namespaces/istio-system/pods"
	if r.URL.Path == pods {
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for name := range s.replicas {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}}
			if parts := strings.Split(name, "-"); len(parts) == 3 { // as Deployments of revisions call theirs
				pod.Labels = map[string]string{"istio.io/rev": parts[1]}
			}
			list.Items = append(list.Items, pod)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	if page, ok := s.objects[r.URL.Path].(http.Handler); ok {
		page.ServeHTTP(w, r)
		return
	}
	if o := s.objects[r.URL.Path]; o != nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(o)
		return
	}
	name, isForward := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, pods+"/"), "/portforward")
	if !isForward {
		http.NotFound(w, r)
		return
	}
	replica := s.replicas[name]
	if replica == nil {
		http.Error(w, "the kubelet does not answer", http.StatusInternalServerError)
		return
	}
	s.forward(w, r, replica)
}

// forward serves a port-forward as a kubelet does by SPDY: pairs of streams, one for errors and one for data.
func (s *apiServer) forward(w http.ResponseWriter, r *http.Request, replica http.Handler) {
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		return
	}
	backend := httptest.NewServer(replica)
	defer backend.Close()
	streams := make(chan httpstream.Stream, 8)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	for {
		select {
		case <-conn.CloseChan():
			return
		case stream := <-streams:
			if stream.Headers().Get(corev1.StreamType) != corev1.StreamTypeData {
				_ = stream.Close()
				continue
			}
			if port := stream.Headers().Get(corev1.PortHeader); port != "15014" {
				s.t.Errorf("port %s is asked", port)
			}
			pass(s.t, stream, backend.Listener.Addr().String())
		}
	}
}

// pass connects a stream with an address, until the address has no more to say.
func pass(t *testing.T, stream httpstream.Stream, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer to.Close()
	go func() { _, _ = io.Copy(to, stream) }() // ends with the connection
	_, _ = io.Copy(stream, to)
	_ = stream.Close()
}

// replies answers one path of the debug port.
func replies(path, answer string) http.Handler {
	pages := map[string]string{debug.ObjectsPath: `{"domain": "cluster.local"} {"end": true}`, debug.ProxiesPath: "[]", path: answer}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, page)
	})
}

// run calls what a command does with a mesh, and gives what it printed.
func run(t *testing.T, of func(*cobra.Command, reached, proxyconfig.Format) error, m reached, format proxyconfig.Format) (stdout, stderr string, err error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd.SetContext(ctx)
	err = of(cmd, m, format)
	return out.String(), said.String(), err
}

const (
	everywhere = `{"kind":"VirtualService","namespace":"shop","name":"b","field":"spec.hosts","severity":"Warning","reason":"Unsupported","message":"of the object"}`
	refused    = `{"kind":"EnvoyFilter","namespace":"shop","name":"a","severity":"Error","reason":"Rejected","message":"proxy a.shop refused it"}`
)

func TestProblemsOfAllReplicas(t *testing.T) {
	m := cluster(t, map[string]http.Handler{
		"istiod-1": replies("/debug/problems", "["+everywhere+"]"),
		"istiod-3": replies("/debug/problems", "["+strings.Replace(refused, "a.shop", "b.shop", 1)+"]"),
		"istiod-2": replies("/debug/problems", "["+everywhere+","+refused+"]"),
	})
	out, said, err := run(t, tellAll, m, proxyconfig.Short)
	if err != nil || said != "" {
		t.Errorf("%v, on stderr %q", err, said)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "refused it") || !strings.Contains(lines[1], "of the object") {
		t.Errorf("printed\n%s", out)
	}
	for _, format := range []proxyconfig.Format{proxyconfig.JSON, proxyconfig.YAML} {
		out, _, err := run(t, tellAll, m, format)
		if err != nil || strings.Count(out, "of the object") != 1 || strings.Count(out, "refused it") != 1 {
			t.Errorf("%v, printed\n%s", err, out)
		}
	}
	none := cluster(t, map[string]http.Handler{"istiod-1": replies("/debug/problems", "[]")})
	if out, _, err := run(t, tellAll, none, proxyconfig.Short); err != nil || out != "no problems\n" {
		t.Errorf("%v, printed %q", err, out)
	}
	if out, _, err := run(t, tellAll, none, proxyconfig.JSON); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("%v, printed %q", err, out)
	}
}

// TestReplicaThatDoesNotAnswer: what the others know is printed, and that more may be known is told.
func TestReplicaThatDoesNotAnswer(t *testing.T) {
	proxies := `[{"proxy":"details.shop","proxy_type":"sidecar"}]`
	for name, c := range map[string]struct {
		of           func(*cobra.Command, reached, proxyconfig.Format) error
		path, answer string
		want         string
	}{
		"problems":     {tellAll, "/debug/problems", "[" + refused + "]", "refused it"},
		"proxy-status": {list, "/debug/pilothouse/syncz", proxies, "details.shop"},
	} {
		for what, silent := range map[string]http.Handler{"unreachable": nil, "failing": replies("/none", "")} {
			m := cluster(t, map[string]http.Handler{"istiod-1": replies(c.path, c.answer), "istiod-2": silent})
			for _, format := range []proxyconfig.Format{proxyconfig.Short, proxyconfig.JSON} {
				out, said, err := run(t, c.of, m, format)
				var exit *exitError
				if !errors.As(err, &exit) || exit.code != exitFailure || exit.err != nil {
					t.Errorf("%s, %s: %v", name, what, err)
				}
				if !strings.Contains(out, c.want) {
					t.Errorf("%s, %s: printed\n%s", name, what, out)
				}
				if !strings.Contains(said, "istiod-2.istio-system") || strings.Contains(said, "istiod-1") {
					t.Errorf("%s, %s: on stderr %q", name, what, said)
				}
			}
		}
		m := cluster(t, map[string]http.Handler{"istiod-1": nil, "istiod-2": nil})
		out, _, err := run(t, c.of, m, proxyconfig.Short)
		if err == nil || out != "" || !slices.ContainsFunc([]string{"istiod-1", "istiod-2"}, func(n string) bool { return strings.Contains(err.Error(), n) }) {
			t.Errorf("%s of no replica: %v, printed %q", name, err, out)
		}
	}
}

// replica answers all that version asks.
func replica(version, proxies string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/version":
			_, _ = io.WriteString(w, version)
		case "/debug/pilothouse/syncz":
			_, _ = io.WriteString(w, proxies)
		default:
			http.NotFound(w, r)
		}
	})
}

// TestVersionsOfAllReplicas: also who does not answer is told, for what is printed lacks it.
func TestVersionsOfAllReplicas(t *testing.T) {
	tell := func(cmd *cobra.Command, m reached, format proxyconfig.Format) error {
		return versions{Client: version}.tell(cmd, m, true, format)
	}
	one, two := replica("v1", `[{"proxy":"a.shop","version":"v1"}]`), replica("v2", `[{"proxy":"b.shop","version":"v1"}]`)
	out, said, err := run(t, tell, cluster(t, map[string]http.Handler{"istiod-1": one, "istiod-2": two}), proxyconfig.Short)
	if err != nil || said != "" || !strings.Contains(out, "control plane version: v1, v2\n") || !strings.Contains(out, "(2 proxies)") {
		t.Errorf("%v, on stderr %q, printed\n%s", err, said, out)
	}
	for what, silent := range map[string]http.Handler{"unreachable": nil, "without proxies": replies("/version", "v1")} {
		out, said, err := run(t, tell, cluster(t, map[string]http.Handler{"istiod-1": one, "istiod-2": silent}), proxyconfig.Short)
		var exit *exitError
		if !errors.As(err, &exit) || exit.code != exitFailure || !strings.Contains(out, "control plane version: v1\n") {
			t.Errorf("%s: %v, printed\n%s", what, err, out)
		}
		if strings.Count(said, "istiod-2.istio-system") != 1 {
			t.Errorf("%s: on stderr %q", what, said)
		}
	}
	none := cluster(t, map[string]http.Handler{"istiod-1": nil})
	if out, _, err := run(t, tell, none, proxyconfig.Short); err == nil || out != "" {
		t.Errorf("of no replica: %v, printed %q", err, out)
	}
	perhaps := func(cmd *cobra.Command, m reached, format proxyconfig.Format) error {
		return versions{Client: version}.tell(cmd, m, false, format)
	}
	if out, said, err := run(t, perhaps, none, proxyconfig.Short); err != nil || out != "client version: "+version+"\n" || !strings.Contains(said, "istiod-1") {
		t.Errorf("of a cluster that nobody named: %v, on stderr %q, printed %q", err, said, out)
	}
}

func TestHostsOfServices(t *testing.T) {
	m := cluster(t, map[string]http.Handler{"istiod-1": replies("/debug/endpointShardz", `{"b.shop.svc.cluster.local":{"shop":{"Shards":{}}},"a.example.com":{}}`)})
	got, err := hosts(t.Context(), m)
	if want := []string{"a.example.com", "b.shop.svc.cluster.local"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := hosts(t.Context(), cluster(t, map[string]http.Handler{"istiod-1": replies("/debug/endpointShardz", "not ready")})); err == nil {
		t.Error("a word is taken for services")
	}
}

// Whoever names a pod by the beginning of its name, or mistypes it, is told which pods there are.
func TestPodOfAClusterThatIsNotThere(t *testing.T) {
	m := cluster(t, map[string]http.Handler{"istiod-7c9-abcde": nil, "istiod-7c9-fghij": nil, "grafana": nil})
	for name, want := range map[string]string{
		"istiod":  "there is no pod and no Deployment istiod in namespace istio-system; there is istiod-7c9-abcde, istiod-7c9-fghij",
		"grafan":  "there is no pod and no Deployment grafan in namespace istio-system; there is grafana",
		"unheard": "there is no pod and no Deployment unheard in namespace istio-system",
	} {
		if _, err := m.find(t.Context(), name+".istio-system"); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
