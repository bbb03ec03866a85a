package debug

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

func options() Options {
	return Options{
		Ready: func() bool { return false }, Connections: func() []xds.Connection { return nil },
		Problems: func() []model.Problem { return nil }, Snapshot: func() Snapshot { return nil },
		Gatherer: prometheus.NewRegistry(), Version: "v",
		Objects: func(context.Context) ([]*model.Object, error) { return nil, nil },
		Head:    func(context.Context) (inventory.Head, error) { return inventory.Head{}, nil },
	}
}

func status(h http.Handler, path, remote string) int {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = remote, "127.0.0.1:15014"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestMetricsAndVersionAreForEveryone(t *testing.T) {
	for _, path := range []string{"/metrics", "/version"} {
		if got := status(New(options()).Monitoring(), path, "10.0.0.1:1"); got != 200 {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestNotReadyUntilServed(t *testing.T) {
	o := options()
	for path, want := range map[string]int{"/ready": 503, "/debug/mesh": 503, "/debug/endpointz": 503, "/debug/config_dump": 400, "/debug/config_dump?proxyID=a.b": 404} {
		if got := status(New(o).HTTP(), path, "127.0.0.1:1"); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	o.Ready = func() bool { return true }
	if got := status(New(o).HTTP(), "/ready", "127.0.0.1:1"); got != 200 {
		t.Errorf("/ready: %d", got)
	}
}

// TestClustersAsIstioctlReadsThem: istioctl remote-clusters asks for them.
func TestClustersAsIstioctlReadsThem(t *testing.T) {
	of := func(o Options) string {
		r := httptest.NewRequest(http.MethodGet, "/debug/clusterz", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15014"
		w := httptest.NewRecorder()
		New(o).Monitoring().ServeHTTP(w, r)
		return strings.Join(strings.Fields(w.Body.String()), "")
	}
	o := connected()
	if got, want := of(o), `[{"id":"Kubernetes","secretName":"","syncStatus":"synced"}]`; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	o.Snapshot = func() Snapshot { return nil }
	if got := of(o); !strings.Contains(got, `"syncing"`) {
		t.Errorf("before the first commit: %s", got)
	}
}
