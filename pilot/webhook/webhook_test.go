package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

type place2 struct{ cluster, network string }

// review gives the question of an API server.
func review(t testing.TB, path, operation, object string) *http.Request {
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"shop","operation":"` +
		operation + `","object":` + object + `}}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

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
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, review(t, path, operation, object))
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

// TestWhatIsNoPodIsRefused: the API server is told why, by the UID of its question.
func TestWhatIsNoPodIsRefused(t *testing.T) {
	for _, object := range []string{`null`, `"text"`, `{"spec":{"containers":"none"}}`, `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"x"}}}]}}`} {
		if response, _ := ask(t, "/inject", "CREATE", object); response.Allowed || !strings.Contains(response.Result.Message, "no pod") {
			t.Errorf("%s: %+v", object, response)
		}
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

// TestQuestionsAreTimed: dashboards read how long pods wait.
func TestQuestionsAreTimed(t *testing.T) {
	registry := prometheus.NewRegistry()
	handler := Handler(Options{Registerer: registry, Logger: slog.New(slog.DiscardHandler)})
	for _, path := range []string{"/inject", "/inject/cluster/a", "/validate"} {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
	}
	if n := injectionTime(t, registry, "time").GetSampleCount(); n != 2 {
		t.Errorf("%d questions about pods were timed, not 2", n)
	}
}

// TestWaitingIsTimed: a pod that waits behind others is timed from when it was asked about, and they are answered one
// after the other.
func TestWaitingIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		handler := Handler(Options{
			Injector: func(string, string) (*inject.Injector, error) {
				time.Sleep(time.Second) // as if that were its computing
				return nil, errors.New("none")
			},
			Registerer: registry, Logger: slog.New(slog.DiscardHandler),
		})
		atOnce := min(runtime.GOMAXPROCS(0), maxReviewsAddress)
		var asked sync.WaitGroup
		for range 6 * atOnce { // of one address, so that the last wait for a place first
			asked.Go(func() {
				handler.ServeHTTP(httptest.NewRecorder(), review(t, "/inject", "CREATE", strings.Replace(pod, "LABEL", "true", 1)))
			})
		}
		asked.Wait()
		if got, want := injectionTime(t, registry, "time").GetSampleSum(), float64(atOnce*(1+2+3+4+5+6)); got != want {
			t.Errorf("they waited %v s together, not %v", got, want)
		}
		if got, want := injectionTime(t, registry, "work").GetSampleSum(), float64(6*atOnce); got != want {
			t.Errorf("they were worked out in %v s together, not %v", got, want)
		}
	})
}

// injectionTime gives what a metric of the times says.
func injectionTime(t *testing.T, registry *prometheus.Registry, of string) *dto.Histogram {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sidecar_injection_"+of+"_seconds" {
			return f.GetMetric()[0].GetHistogram()
		}
	}
	t.Fatal("there is no such metric")
	return nil
}

// late is a body that takes a while to come.
type late struct{ io.Reader }

func (l late) Read(to []byte) (int, error) {
	time.Sleep(time.Second)
	return l.Reader.Read(to)
}

// TestLateQuestionIsNoLateAnswer: what a question takes to come is its sender's time.
func TestLateQuestionIsNoLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		handler := Handler(Options{
			Injector: func(string, string) (*inject.Injector, error) {
				time.Sleep(time.Second)
				return nil, errors.New("none")
			},
			Registerer: registry, Logger: slog.New(slog.DiscardHandler),
		})
		r := review(t, "/inject", "CREATE", strings.Replace(pod, "LABEL", "true", 1))
		r.Body = io.NopCloser(late{r.Body})
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if got := injectionTime(t, registry, "time").GetSampleSum(); got != 1 {
			t.Errorf("the answer took %v s, not 1", got)
		}
	})
}
