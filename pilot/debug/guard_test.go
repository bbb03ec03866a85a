package debug

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// noServices is a mesh in which there is nothing.
type noServices struct{}

func (noServices) Mesh() *meshconfig.MeshConfig {
	return &meshconfig.MeshConfig{RootNamespace: "istio-system"}
}

func (noServices) AllServices() []*model.Service { return nil }

func (noServices) Services(string) []*model.Service { return nil }

func (noServices) Endpoints(model.ServiceID) []model.Endpoint { return nil }

func TestPagesAreForTheMachineItselfOrTheProven(t *testing.T) {
	none := options()
	none.Snapshot = func() Snapshot { return noServices{} }
	from := func(namespace string, err error) Options {
		o := none
		o.Authenticate = func(*http.Request) (string, error) { return namespace, err }
		return o
	}
	refused, root, user := from("", errors.New("no token")), from("istio-system", nil), from("shop", nil)
	early := options()
	early.Authenticate = root.Authenticate
	const own, other = "/debug/config_dump?proxyID=a.b.shop", "/debug/config_dump?proxyID=a.istio-system"
	for _, c := range []struct {
		name         string
		opts         Options
		remote, path string
		want         int
	}{
		{"the machine itself", none, "127.0.0.1:1", "/debug/syncz", 200},
		{"the machine itself, IPv6", none, "[::1]:1", "/debug/pprof/", 200},
		{"the machine itself, mapped", none, "[::ffff:127.0.0.1]:1", "/debug/syncz", 200},
		{"nobody is known", none, "10.0.0.1:1", "/debug/syncz", 403},
		{"no address", none, "", "/debug/syncz", 403},
		{"no proof", refused, "10.0.0.1:1", "/debug/syncz", 401},
		{"no proof, profiles", refused, "10.0.0.1:1", "/debug/pprof/heap", 401},
		{"no proof, own namespace", refused, "10.0.0.1:1", "/debug/config_dump?proxyID=a.", 401},
		{"the root namespace", root, "10.0.0.1:1", "/debug/syncz", 200},
		{"the root namespace, profiles", root, "10.0.0.1:1", "/debug/pprof/", 200},
		{"the root namespace, anyone's proxy, which is not connected", root, "10.0.0.1:1", own, 404},
		{"too early", early, "10.0.0.1:1", "/debug/syncz", 503},
		{"another namespace", user, "10.0.0.1:1", "/debug/syncz", 403},
		{"another namespace, all objects", user, "10.0.0.1:1", ObjectsPath + "?kind=Service&proxyID=a.shop", 403},
		{"another namespace, all proxies", user, "10.0.0.1:1", ProxiesPath + "?proxyID=a.shop", 403},
		{"no proof, all objects", refused, "10.0.0.1:1", ObjectsPath, 401},
		{"the root namespace, all objects", root, "10.0.0.1:1", ObjectsPath, 200},
		{"another namespace, profiles", user, "10.0.0.1:1", "/debug/pprof/profile", 403},
		{"another namespace, own proxy", user, "10.0.0.1:1", own, 404},
		{"another namespace, other's proxy", user, "10.0.0.1:1", other, 403},
		{"another namespace, own proxy in the wrong page", user, "10.0.0.1:1", "/debug/connections?proxyID=a.shop", 403},
		{"another namespace, no proxy", user, "10.0.0.1:1", "/debug/config_dump", 403},
		{"another namespace, two proxies", user, "10.0.0.1:1", other + "&proxyID=a.shop", 403},
	} {
		for _, h := range []http.Handler{New(c.opts).HTTP(), New(c.opts).Monitoring()} {
			if got := status(h, c.path, c.remote); got != c.want {
				t.Errorf("%s: %d, want %d", c.name, got, c.want)
			}
		}
	}
}

// A page in a browser of the machine asks over loopback, and by rebinding reads the answer.
func TestPagesAreNotForWebPagesOfOthers(t *testing.T) {
	for _, c := range []struct {
		host, site string
		want       int
	}{
		{"127.0.0.1:15014", "", 503},
		{"[::1]:15014", "", 503},
		{"[::1]", "", 503},
		{"localhost:15014", "", 503},
		{"LOCALHOST.", "", 503},
		{"localhost:15014", "none", 503},
		{"localhost:15014", "same-origin", 503},
		{"10.0.0.1", "", 503}, // an address is nobody's name
		{"evil.com", "", 403},
		{"evil.com:15014", "", 403},
		{"localhost.evil.com", "", 403},
		{"127.0.0.1.evil.com:15014", "", 403},
		{"", "", 403},
		{"localhost:15014", "cross-site", 403},
		{"localhost:15014", "same-site", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/mesh", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", c.host
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		w := httptest.NewRecorder()
		New(options()).Monitoring().ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("host %q, %q: %d, want %d", c.host, c.site, w.Code, c.want)
		}
	}
}

func TestFewReadTheMetricsAtATime(t *testing.T) {
	o := options()
	reading, resume := make(chan struct{}, maxScrapes), make(chan struct{})
	o.Gatherer = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		reading <- struct{}{}
		<-resume
		return nil, nil
	})
	h := New(o).Monitoring()
	var all sync.WaitGroup
	for range maxScrapes {
		all.Go(func() { status(h, "/metrics", "10.0.0.1:1") })
	}
	for range maxScrapes {
		<-reading
	}
	if got := status(h, "/metrics", "10.0.0.1:1"); got != http.StatusServiceUnavailable {
		t.Errorf("one more reader gets %d", got)
	}
	close(resume)
	all.Wait()
}
