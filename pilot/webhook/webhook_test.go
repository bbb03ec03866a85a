package webhook

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

type place2 struct{ cluster, network string }

func ask(t *testing.T, path, operation, object string) (*admissionv1.AdmissionResponse, place2) {
	t.Helper()
	var at place2
	handler := Handler(Options{
		Injector: func(cluster, network string) (*inject.Injector, error) {
			at = place2{cluster, network}
			return inject.New(inject.Options{ClusterID: cluster, Network: network, NativeSidecar: true})
		},
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"shop","operation":"` +
		operation + `","object":` + object + `}}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil || review.Response.UID != "u" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return review.Response, at
}

const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"sidecar.istio.io/inject":"LABEL"}},"spec":{"containers":[{"name":"app","image":"i"}]}}`

func TestPods(t *testing.T) {
	response, at := ask(t, "/inject/cluster/a--slash--b/net/n", "CREATE", strings.Replace(pod, "LABEL", "true", 1))
	if !response.Allowed || !bytes.Contains(response.Patch, []byte(`"istio-proxy"`)) || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Errorf("%+v", response)
	}
	if at != (place2{"a/b", "n"}) {
		t.Errorf("the path says %v", at)
	}
	response, _ = ask(t, "/inject", "CREATE", strings.Replace(pod, "LABEL", "false", 1))
	if !response.Allowed || response.Patch != nil {
		t.Errorf("a pod that wants none: %+v", response)
	}
	wrong := strings.Replace(pod, `"labels"`, `"annotations":{"status.sidecar.istio.io/port":"no port"},"labels"`, 1)
	if response, _ = ask(t, "/inject", "CREATE", strings.Replace(wrong, "LABEL", "true", 1)); response.Allowed {
		t.Errorf("a wrong annotation: %+v", response)
	}
}

func TestObjects(t *testing.T) {
	object := func(route string) string {
		return `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"v","namespace":"shop"},"spec":{"hosts":["a"],"http":[` + route + `]}}`
	}
	good, bad := object(`{"route":[{"destination":{"host":"a"}}]}`), object(`{"name":"nowhere"}`)
	if response, _ := ask(t, "/validate", "CREATE", good); !response.Allowed {
		t.Errorf("%+v", response)
	}
	response, _ := ask(t, "/validate", "UPDATE", bad)
	if response.Allowed || !strings.Contains(response.Result.Message, "spec.http[0]") {
		t.Errorf("%+v", response)
	}
	if response, _ := ask(t, "/validate", "DELETE", bad); !response.Allowed {
		t.Error("what is wrong cannot be deleted")
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	handler := Handler(Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	for name, c := range map[string]struct {
		kind, body string
		code       int
	}{
		"empty":             {"application/json", "", http.StatusBadRequest},
		"of another type":   {"text/plain", "{}", http.StatusUnsupportedMediaType},
		"without a request": {"application/json", "{}", http.StatusBadRequest},
		"too large":         {"application/json", strings.Repeat(" ", maxBody+1), http.StatusRequestEntityTooLarge},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inject", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("%s: %d, not %d", name, w.Code, c.code)
		}
	}
}

func TestPatchNamesOnlyWhatDiffers(t *testing.T) {
	decode := func(text string) (v any) {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"nothing":     {`{"a":1}`, `{"a":1}`, `[]`},
		"a field":     {`{"a":{"b":1,"c":2}}`, `{"a":{"b":3,"c":2}}`, `[{"op":"replace","path":"/a/b","value":3}]`},
		"odd names":   {`{}`, `{"x/y~z":1}`, `[{"op":"add","path":"/x~1y~0z","value":1}]`},
		"one is gone": {`{"a":1}`, `{}`, `[{"op":"remove","path":"/a"}]`},
		"one more":    {`[{"name":"a"}]`, `[{"name":"a"},{"name":"b"}]`, `[{"op":"add","path":"/-","value":{"name":"b"}}]`},
		"one before":  {`[{"name":"a"}]`, `[{"name":"b"},{"name":"a"}]`, `[{"op":"replace","path":"","value":[{"name":"b"},{"name":"a"}]}]`},
	} {
		got, err := difference(decode(c.from), decode(c.to))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestQuestionsAreTimed: dashboards read how long pods wait.
func TestQuestionsAreTimed(t *testing.T) {
	registry := prometheus.NewRegistry()
	handler := Handler(Options{Registerer: registry, Logger: slog.New(slog.DiscardHandler)})
	for _, path := range []string{"/inject", "/inject/cluster/a", "/validate"} {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sidecar_injection_time_seconds" {
			if n := f.GetMetric()[0].GetHistogram().GetSampleCount(); n != 2 {
				t.Errorf("%d questions about pods were timed, not 2", n)
			}
			return
		}
	}
	t.Error("there is no such metric")
}
