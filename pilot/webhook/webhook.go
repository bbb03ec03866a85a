// Package webhook answers the API server's questions before it stores an object: whether an object of
// the mesh makes sense, and what a new pod is with its sidecar. It decides nothing: pilot/validate and
// pilot/inject do.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// maxBody bounds a request: an API server stores no object of more than 1.5 MiB, and sends two.
const maxBody = 8 << 20

// maxSaid is the room that a body gets before it has come.
const maxSaid = 64 << 10

// Options of the webhooks.
type Options struct {
	// Injector gives the injector of now, for pods of a cluster and network; empty ones stand for the
	// control plane's own.
	Injector   func(cluster, network string) (*inject.Injector, error)
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// server answers.
type server struct {
	Options
	requests, success, failure prometheus.Counter
	// took is from question to answer, worked the part of it that is no waiting for others.
	took, worked prometheus.Histogram
	objects      *checker
	pods         *differ
	// decided are the places of the reviews that have come.
	decided *places
	// turns are as many as reviews can be computed at a time. The others wait in the order in which they came, so
	// that of many that come at once each has its answer as early as may be, and none waits for all.
	turns chan struct{}
}

// Handler serves /inject, with what the path says of cluster and network, and /validate.
func Handler(opts Options) http.Handler {
	s := &server{
		Options: opts, objects: newChecker(), pods: newDiffer(), decided: newPlaces(maxReviews, maxReviewsAddress), turns: make(chan struct{}, runtime.GOMAXPROCS(0)),
		success: prometheus.NewCounter(prometheus.CounterOpts{Name: "sidecar_injection_success_total", Help: "Pods that were given a sidecar."}),
		failure: prometheus.NewCounter(prometheus.CounterOpts{Name: "sidecar_injection_failure_total", Help: "Pods that were refused."}),
		requests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sidecar_injection_requests_total", Help: "Pods that the API server asked about.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_time_seconds", Help: "From a question about a pod to its answer, without the time in which the question comes, in seconds.",
			Buckets: []float64{.001, .0025, .005, .01, .015, .02, .025, .03, .04, .05, .075, .1, .25, .5, 1, 5},
		}),
		worked: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_work_seconds", Help: "The part of sidecar_injection_time_seconds that an answer is worked out in, in its turn.",
			Buckets: []float64{.0005, .001, .0015, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .1, 1},
		}),
	}
	opts.Registerer.MustRegister(s.requests, s.success, s.failure, s.took, s.worked)
	mux, rooms := http.NewServeMux(), bodies()
	for _, path := range []string{"/inject", "/inject/"} {
		mux.Handle(path, s.timed(rooms.limit(s.review(s.working(by(s.inject))))))
	}
	for _, path := range []string{"/validate", "/validate/"} {
		mux.Handle(path, rooms.limit(s.review(by(s.validate))))
	}
	return mux
}

// TLS configures the server of a handler. An API server opens a connection for nearly each of the questions that come
// at once, and an answer has ten kilobytes: it goes in one record, not in ten small ones with a system call each.
func TLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate, DynamicRecordSizingDisabled: true}
}

// timed counts a question about a pod and how long its answer takes, with the time that it waits for others. The time
// in which its body comes is who asks's own: an API server that has more to do than processors sends late.
func (s *server) timed(answer http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &timedBody{ReadCloser: r.Body}
		defer func(at time.Time) { s.took.Observe((time.Since(at) - body.awaited).Seconds()) }(time.Now())
		s.requests.Inc()
		r.Body = body
		answer.ServeHTTP(w, r)
	})
}

// timedBody tells how long it was waited for.
type timedBody struct {
	io.ReadCloser
	awaited time.Duration
}

// Read reads, and adds how long that took.
func (b *timedBody) Read(to []byte) (int, error) {
	defer func(at time.Time) { b.awaited += time.Since(at) }(time.Now())
	return b.ReadCloser.Read(to)
}

// question is an AdmissionReview as far as it is read, about an object as T holds it: it is read once.
type question[T any] struct {
	metav1.TypeMeta `json:",inline"`
	Request         *request[T] `json:"request"`
}

type request[T any] struct {
	UID       types.UID             `json:"uid"`
	Namespace string                `json:"namespace"`
	Operation admissionv1.Operation `json:"operation"`
	Object    T                     `json:"object"`
}

// decision answers a review's request, of which something may be wrong that is still JSON.
type decision[T any] func(r *http.Request, asked *request[T], wrong error) *admissionv1.AdmissionResponse

// answering gives the answer to a review.
type answering func(r *http.Request, body []byte) ([]byte, error)

// by answers as a decision says.
func by[T any](decide decision[T]) answering {
	return func(r *http.Request, body []byte) ([]byte, error) {
		var q question[T]
		err := json.Unmarshal(body, &q)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) || q.Request == nil {
			return nil, errors.New("the body is no AdmissionReview with a request")
		}
		response := decide(r, q.Request, err)
		response.UID = q.Request.UID
		return json.Marshal(admissionv1.AdmissionReview{TypeMeta: q.TypeMeta, Response: response})
	}
}

// review reads an AdmissionReview and writes its answer.
func (s *server) review(answer answering) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
			http.Error(w, "the content type has to be application/json", http.StatusUnsupportedMediaType)
			return
		}
		body, err := readBody(http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength)
		switch {
		case errors.Is(err, errNoRoom):
			tooMany(w)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		case len(body) == 0:
			http.Error(w, "the body is empty", http.StatusBadRequest)
			return
		}
		// The deadline of the body is over: it would end the wait of one who is still there.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // of a test's writer there is none
		leave, ok := s.decided.enter(r, 1)
		if !ok {
			tooMany(w)
			return
		}
		defer leave()
		waiting, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		if !take(waiting, s.turns) {
			tooMany(w)
			return
		}
		said, err := s.inTurn(r, body, answer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(said))) // else it goes in chunks
		if _, err := w.Write(said); err != nil {
			s.Logger.Debug("an answer was not taken", "error", err)
		}
	}
}

// readBody gives a body of which a length is said.
func readBody(body io.Reader, said int64) ([]byte, error) {
	var b bytes.Buffer
	if said > 0 {
		b.Grow(int(min(said, maxSaid)) + bytes.MinRead) // with room to find the end
	}
	_, err := b.ReadFrom(body)
	return b.Bytes(), err
}

// working tells how long an answer is worked out.
func (s *server) working(answer answering) answering {
	return func(r *http.Request, body []byte) ([]byte, error) {
		defer func(at time.Time) { s.worked.Observe(time.Since(at).Seconds()) }(time.Now())
		return answer(r, body)
	}
}

// inTurn gives an answer, and then the turn back.
func (s *server) inTurn(r *http.Request, body []byte, answer answering) ([]byte, error) {
	defer func() { <-s.turns }()
	return answer(r, body)
}

func refuse(err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: err.Error()}}
}

// inject gives a pod its sidecar. The webhooks' selectors have asked what the namespace says.
func (s *server) inject(r *http.Request, asked *request[*corev1.Pod], wrong error) *admissionv1.AdmissionResponse {
	patch, injected, err := s.patch(r.URL.Path, asked, wrong)
	if err != nil {
		s.failure.Inc()
		s.Logger.Warn("a pod was refused", "namespace", asked.Namespace, "error", err)
		return refuse(err)
	}
	response := &admissionv1.AdmissionResponse{Allowed: true}
	if injected {
		s.success.Inc()
		kind := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &kind
	}
	return response
}

func (s *server) patch(path string, asked *request[*corev1.Pod], wrong error) (patch []byte, injected bool, err error) {
	pod := asked.Object
	if pod == nil && wrong == nil {
		wrong = errors.New("there is none")
	}
	if wrong != nil {
		return nil, false, errors.New("the object is no pod: " + wrong.Error())
	}
	if pod.Namespace == "" {
		pod.Namespace = asked.Namespace
	}
	pod.ManagedFields = nil // who set what is nothing to templates, and much to compare
	in, err := s.Injector(place(path))
	if err != nil {
		return nil, false, err
	}
	out, injected, err := in.Pod(pod, nil, inject.Owner{})
	if err != nil || !injected {
		return nil, false, err
	}
	patch, err = s.pods.patch(pod, out)
	return patch, true, err
}

// place reads a path /inject/cluster/X/net/Y, in which a slash of a name is --slash--.
func place(path string) (cluster, network string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")[1:]
	for i := 0; i+1 < len(parts); i += 2 {
		value := strings.ReplaceAll(parts[i+1], "--slash--", "/")
		switch parts[i] {
		case "cluster":
			cluster = value
		case "net":
			network = value
		}
	}
	return cluster, network
}
