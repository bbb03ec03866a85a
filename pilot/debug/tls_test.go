package debug

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

func TestTLSChecksAreOfAPod(t *testing.T) {
	s := New(Options{
		Snapshot: func() Snapshot { return struct{ Snapshot }{} },
		TLSChecks: func(namespace, pod, host string, kind model.ProxyType) []resolve.TLSCheck {
			return []resolve.TLSCheck{{Host: host, Server: namespace, Client: pod + " " + string(kind)}}
		},
	})
	for target, want := range map[string]struct {
		code int
		body string
	}{
		"/?proxyID=web-0.shop&host=a":       {http.StatusOK, `"host":"a","port":0,"server":"shop","client":"web-0sidecar"`},
		"/?proxyID=web-0.shop&proxy=router": {http.StatusOK, `"client":"web-0router"`},
		"/?proxyID=web-0.shop&proxy=none":   {http.StatusOK, `"client":"web-0"`},
		"/?proxyID=web-0":                   {http.StatusBadRequest, "proxyID"},
		"/":                                 {http.StatusBadRequest, "proxyID"},
	} {
		w := httptest.NewRecorder()
		s.tls(w, httptest.NewRequest(http.MethodGet, target, nil))
		if body := strings.Join(strings.Fields(w.Body.String()), ""); w.Code != want.code || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", target, w.Code, body)
		}
	}
}
