package main

import (
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The log of a pod of a cluster is the API server's, of the usual container where none is named.
func TestLogsOfACluster(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "app"}}}
	cluster := &apiServer{t: t, objects: map[string]any{
		"/api/v1/namespaces/shop/pods/web": pod,
		"/api/v1/namespaces/shop/pods/web/log": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			fmt.Fprintf(w, "container %s, lines %s, before %s\n", q.Get("container"), q.Get("tailLines"), q.Get("previous"))
		}),
	}}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"web.shop"}, "container app, lines , before \n"},
		{[]string{"web", "-n", "shop", "-c", "istio-proxy", "--tail", "3", "-p"}, "container istio-proxy, lines 3, before true\n"},
	} {
		if stdout, stderr, code := pilotctlOf(t, cluster, append([]string{"logs"}, c.args...)...); code != 0 || stdout != c.want {
			t.Errorf("%v: %d, %q, %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	if _, stderr, code := pilotctlOf(t, cluster, "logs", "gone.shop"); code == 0 {
		t.Errorf("a pod that is not there: %d, %q", code, stderr)
	}
}
