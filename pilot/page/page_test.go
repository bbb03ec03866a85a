package page

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/traffic"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/browser"
)

// hostile is what would become a script or break out of what holds it, were it not escaped.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'</svg>&{{.}}`

var virtualService = &model.Object{
	Key: model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "reviews"}, Origin: model.Origin{File: "dir/" + hostile, Line: 7},
	Spec: &networking.VirtualService{Hosts: []string{"reviews" + hostile}},
}

// made is what the store reads an Ingress as.
var made = &model.Object{
	Key: model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "made"}, Spec: &networking.VirtualService{},
	Sources: []model.MadeOf{{Object: model.Key{Kind: model.KindIngress, Namespace: "default", Name: "written"}, Field: "spec.rules[0]", Origin: model.Origin{File: "in.yaml", Line: 3}}},
}

var secret = &model.Object{Key: model.Key{Kind: model.KindSecret, Namespace: "default", Name: "key"}, Spec: &corev1.Secret{Data: map[string][]byte{"k": []byte("the key")}}}

// newPage gives a page whose one proxy has counted hostile names.
func newPage(t *testing.T) *Page {
	t.Helper()
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(hostile)
		for _, to := range []string{"b", escaped} {
			fmt.Fprintf(w, `istio_requests_total{reporter="source",source_workload="a",source_workload_namespace="default",destination_workload="%s",destination_workload_namespace="default",destination_service_name="%s",request_protocol="http",response_code="500"} 5`+"\n", to, escaped)
		}
	}))
	t.Cleanup(metrics.Close)
	at, err := url.Parse(metrics.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(at.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Connections: func() []xds.Connection { return nil },
		Problems: func() []model.Problem {
			return []model.Problem{{Object: virtualService.Key, Field: hostile, Severity: model.SeverityWarning, Message: hostile, Origin: virtualService.Origin}}
		},
		Object: func(k model.Key) *model.Object {
			for _, o := range []*model.Object{virtualService, secret, made} {
				if o.Key == k {
					return o
				}
			}
			return nil
		},
		Service: func(string, string) *model.Service { return nil },
		Traffic: traffic.New(traffic.Options{
			Port: uint16(port), Logger: slog.New(slog.DiscardHandler),
			Proxies: func() []traffic.Proxy {
				return []traffic.Proxy{{Name: "a.default", Namespace: "default", Address: netip.MustParseAddr("127.0.0.1")}}
			},
		}),
		Name: hostile, Version: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

func TestNothingThatOthersWroteRuns(t *testing.T) {
	srv := httptest.NewServer(newPage(t).Handler("/a/b/"))
	t.Cleanup(srv.Close)
	chromium := browser.Start(t)
	q := url.QueryEscape(hostile)
	page := chromium.Open(srv.URL+"/a/b/", browser.Screen{Width: 1200, Height: 900})
	for _, path := range []string{
		"", "?namespace=" + q, "proxies?q=" + q, "problems", "problems?q=" + q, "proxy?proxyID=" + q + "&q=" + q,
		"object?kind=VirtualService&namespace=default&name=reviews", "object?kind=" + q + "&namespace=" + q + "&name=" + q,
	} {
		page.Go(srv.URL + "/a/b/" + path)
		var scripts, images int
		page.Eval("document.scripts.length", &scripts)
		page.Eval("document.images.length", &images)
		if scripts != 1 || images != 0 {
			t.Errorf("%s: %d scripts and %d images", path, scripts, images)
		}
		if text := page.Text("document.body.innerText"); !strings.Contains(text, hostile) {
			t.Errorf("%s: what was written is not shown:\n%s", path, text)
		}
	}
	for _, e := range page.Errors() {
		if !strings.Contains(e, "404") { // of what is not there
			t.Error(e)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	h := newPage(t).Handler("/")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/object?kind=Secret&namespace=default&name=key", nil))
	if body := rec.Body.String(); rec.Code != http.StatusOK || strings.Contains(body, "the key") || strings.Contains(body, "<pre") {
		t.Errorf("%d %s", rec.Code, body)
	}
}

func TestPagesOnlyAnswer(t *testing.T) {
	h := newPage(t).Handler("/")
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", 200},
		{http.MethodPost, "/", 405},
		{http.MethodDelete, "/object", 405},
		{http.MethodGet, "/nothing", 404},
		{http.MethodGet, "/proxy?proxyID=x.y", 404},
		{http.MethodGet, "/object?kind=VirtualService&namespace=default&name=none", 404},
		{http.MethodGet, "/static/page.css", 200},
		{http.MethodGet, "/static/../templates/layout.html", 404},
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, "/", nil)
		r.URL, _ = url.Parse(c.path)
		h.ServeHTTP(rec, r)
		got := rec.Code
		if got == http.StatusTemporaryRedirect || got == http.StatusMovedPermanently { // a cleaned path
			got = http.StatusNotFound
		}
		if got != c.status || rec.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s %s: %d %v, want %d", c.method, c.path, rec.Code, rec.Header(), c.status)
		}
	}
}

// A route that an Ingress asks for leads to the Ingress, not to what the store reads it as.
func TestWhatIsMadeLeadsToWhatWasWritten(t *testing.T) {
	link := newPage(t).linkOfPath("/apis/networking.istio.io/v1/namespaces/default/virtual-service/made")
	if link == nil || link.Key != made.Sources[0].Object || link.Place != "in.yaml:3" {
		t.Errorf("it leads to %+v", link)
	}
}

func TestRoutesLeadToTheirObject(t *testing.T) {
	config, err := structpb.NewStruct(map[string]any{"config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"})
	if err != nil {
		t.Fatal(err)
	}
	tables := tables{page: newPage(t), client: "default"}
	tables.route(&routev3.RouteConfiguration{Name: "9080", VirtualHosts: []*routev3.VirtualHost{{
		Name: "reviews", Domains: []string{"reviews"}, Routes: []*routev3.Route{{
			Match:    &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/x"}},
			Action:   &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 503}},
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": config}},
		}},
	}}})
	if len(tables.routes) != 1 {
		t.Fatalf("rows %+v", tables.routes)
	}
	row := tables.routes[0]
	if row.Match != "/x*" || row.Action != "answers 503" || row.Object == nil || row.Object.Key != virtualService.Key || row.Object.Place != "dir/"+hostile+":7" {
		t.Errorf("row %+v of %+v", row, row.Object)
	}
	tables.query = "nowhere"
	tables.route(&routev3.RouteConfiguration{Name: "9080", VirtualHosts: []*routev3.VirtualHost{{Routes: []*routev3.Route{{}}}}})
	if len(tables.routes) != 1 {
		t.Error("a row is shown that does not match what was asked for")
	}
}
