package kube

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// apiServer is as much of an API server as a reflector asks for. Resources are named as in paths,
// "GROUP/VERSION/RESOURCE" or "v1/RESOURCE".
type apiServer struct {
	mu      sync.Mutex
	version int
	objects map[string]map[string]object // of the resources that there are
	watches map[string]map[chan event]struct{}
	past    map[string][]event // all that happened, for watches that begin with a version
	down    bool
	denied  map[string]bool
	asked   map[string]string // the field selectors of the last questions
}

type object = map[string]any

type event struct {
	Type   string `json:"type"`
	Object object `json:"object"`

	version int
}

func newAPIServer(t *testing.T, resources ...string) (*apiServer, string) {
	s := &apiServer{objects: map[string]map[string]object{}, watches: map[string]map[chan event]struct{}{}, denied: map[string]bool{}, past: map[string][]event{}, asked: map[string]string{}}
	for _, r := range append(resources, "v1/namespaces", "v1/services", "v1/pods", "v1/configmaps", "v1/secrets",
		"discovery.k8s.io/v1/endpointslices", definitionsPath) {
		s.objects[r] = map[string]object{}
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return s, server.URL
}

// listKinds names lists for clients that ask for a type.
var listKinds = map[string]string{
	"v1/namespaces": "NamespaceList", "v1/services": "ServiceList", "v1/pods": "PodList", "v1/configmaps": "ConfigMapList", "v1/secrets": "SecretList",
	"discovery.k8s.io/v1/endpointslices": "EndpointSliceList", routes: "VirtualServiceList",
	"networking.istio.io/v1beta1/virtualservices": "VirtualServiceList",
	"security.istio.io/v1/authorizationpolicies":  "AuthorizationPolicyList",
}

const definitionsPath = "apiextensions.k8s.io/v1/customresourcedefinitions"

// resource gives the name of a path's resource: /api/v1[/namespaces/NS]/R or /apis/G/V[/namespaces/NS]/R.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")[1:]
	if n := len(parts); n > 3 && parts[n-3] == "namespaces" {
		parts = append(parts[:n-3], parts[n-1])
	}
	return strings.Join(parts, "/")
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, query := resource(r.URL.Path), r.URL.Query()
	s.mu.Lock()
	objects, known := s.objects[name]
	s.asked[name] = query.Get("fieldSelector")
	switch {
	case s.down:
		s.mu.Unlock()
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable")
	case s.denied[name]:
		s.mu.Unlock()
		refuse(w, http.StatusForbidden, "Forbidden")
	case !known:
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "NotFound")
	case query.Get("sendInitialEvents") != "":
		s.mu.Unlock()
		refuse(w, http.StatusUnprocessableEntity, "Invalid")
	case query.Get("watch") != "":
		ch := make(chan event, 100)
		from, _ := strconv.Atoi(query.Get("resourceVersion"))
		for _, e := range s.past[name] {
			if e.version > from {
				ch <- e
			}
		}
		if s.watches[name] == nil {
			s.watches[name] = map[chan event]struct{}{}
		}
		s.watches[name][ch] = struct{}{}
		s.mu.Unlock()
		stream(w, r, ch)
	default:
		list := object{
			"kind": listKinds[name], "apiVersion": strings.TrimSuffix(name, name[strings.LastIndex(name, "/"):]), "metadata": object{"resourceVersion": strconv.Itoa(s.version)},
			"items": slices.Collect(maps.Values(objects)),
		}
		if name == definitionsPath {
			list["kind"], list["apiVersion"] = "PartialObjectMetadataList", "meta.k8s.io/v1"
		}
		s.mu.Unlock()
		answer(w, http.StatusOK, list)
	}
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, reason string) {
	answer(w, code, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code})
}

func stream(w http.ResponseWriter, r *http.Request, events chan event) {
	w.Header().Set("Content-Type", "application/json")
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			_ = json.NewEncoder(w).Encode(e)
			w.(http.Flusher).Flush()
		}
	}
}

// put adds or changes an object.
func (s *apiServer) put(resource string, o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	meta := o["metadata"].(object)
	meta["resourceVersion"] = strconv.Itoa(s.version)
	kind := "ADDED"
	if _, was := s.objects[resource][nameOf(o)]; was {
		kind = "MODIFIED"
	}
	s.objects[resource][nameOf(o)] = o
	s.tell(resource, event{kind, o, s.version})
}

// remove deletes an object.
func (s *apiServer) remove(resource string, o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	delete(s.objects[resource], nameOf(o))
	o["metadata"].(object)["resourceVersion"] = strconv.Itoa(s.version)
	s.tell(resource, event{"DELETED", o, s.version})
}

func (s *apiServer) tell(resource string, e event) {
	s.past[resource] = append(s.past[resource], e)
	for ch := range s.watches[resource] {
		ch <- e
	}
}

// set changes what the server does, and ends all watches.
func (s *apiServer) set(change func(*apiServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	for _, of := range s.watches {
		for ch := range of {
			close(ch)
		}
	}
	s.watches = map[string]map[chan event]struct{}{}
}

func nameOf(o object) string {
	meta := o["metadata"].(object)
	ns, _ := meta["namespace"].(string)
	return ns + "/" + meta["name"].(string)
}
