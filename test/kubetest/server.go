// Package kubetest has a stand-in for an API server, as far as a source of the mesh's objects asks it.
package kubetest

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

// Server is as much of an API server as a reflector asks for. Resources are named as in paths,
// "GROUP/VERSION/RESOURCE" or "v1/RESOURCE".
type Server struct {
	mu      sync.Mutex
	version int
	watches map[string]map[chan event]int // with the version from which each goes on
	past    map[string][]event            // all that happened, for watches that begin with a version

	asked map[string]string // the field selectors of the last questions

	// Objects are those of the resources that there are, Denied the resources that may not be read. Down says that
	// nothing is answered.
	Objects map[string]map[string]Object
	Denied  map[string]bool
	Down    bool
}

// Object is one of an API server, as JSON.
type Object = map[string]any

type event struct {
	Type   string `json:"type"`
	Object Object `json:"object"`

	version int
}

// New gives a server, until the test ends, that has the resources beside some of Kubernetes' own, and its address.
func New(t *testing.T, resources ...string) (*Server, string) {
	s := Unserved(resources...)
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return s, server.URL
}

// Unserved gives a server, as New does, to which nothing leads.
func Unserved(resources ...string) *Server {
	s := &Server{version: 1, Objects: map[string]map[string]Object{}, watches: map[string]map[chan event]int{}, Denied: map[string]bool{}, past: map[string][]event{}, asked: map[string]string{}}
	for _, r := range append(resources, "v1/namespaces", "v1/services", "v1/pods", "v1/configmaps", "v1/secrets",
		"discovery.k8s.io/v1/endpointslices", Definitions) {
		s.Objects[r] = map[string]Object{}
	}
	return s
}

// listKinds names lists for clients that ask for a type.
var listKinds = map[string]string{
	"v1/namespaces": "NamespaceList", "v1/services": "ServiceList", "v1/pods": "PodList", "v1/configmaps": "ConfigMapList", "v1/secrets": "SecretList", "v1/nodes": "NodeList",
	"discovery.k8s.io/v1/endpointslices": "EndpointSliceList", "networking.istio.io/v1/virtualservices": "VirtualServiceList",
	"networking.istio.io/v1beta1/virtualservices": "VirtualServiceList",
	"security.istio.io/v1/authorizationpolicies":  "AuthorizationPolicyList",
}

// Definitions is the resource of the definitions of kinds.
const Definitions = "apiextensions.k8s.io/v1/customresourcedefinitions"

// resource gives the name of a path's resource: /api/v1[/namespaces/NS]/R or /apis/G/V[/namespaces/NS]/R.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")[1:]
	if n := len(parts); n > 3 && parts[n-3] == "namespaces" {
		parts = append(parts[:n-3], parts[n-1])
	}
	return strings.Join(parts, "/")
}

// ServeHTTP answers lists, watches, and what else tests ask an API server for.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, query := resource(r.URL.Path), r.URL.Query()
	from, _ := strconv.Atoi(query.Get("resourceVersion"))
	s.mu.Lock()
	objects, known := s.Objects[name]
	s.asked[name] = query.Get("fieldSelector")
	switch {
	case s.Down:
		s.mu.Unlock()
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable")
	case s.Denied[name]:
		s.mu.Unlock()
		refuse(w, http.StatusForbidden, "Forbidden")
	case name == "authentication.k8s.io/v1/tokenreviews": // it has signed no token
		s.mu.Unlock()
		answer(w, http.StatusCreated, Object{
			"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": Object{"authenticated": false},
		})
	case !known:
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "NotFound")
	case query.Get("sendInitialEvents") != "":
		s.mu.Unlock()
		refuse(w, http.StatusUnprocessableEntity, "Invalid")
	case query.Get("watch") != "":
		ch := make(chan event, 100)
		for _, e := range s.past[name] {
			if e.version > from {
				ch <- e
			}
		}
		if s.watches[name] == nil {
			s.watches[name] = map[chan event]int{}
		}
		s.watches[name][ch] = from
		s.mu.Unlock()
		stream(w, r, ch)
	case from > s.version:
		s.mu.Unlock()
		status := refusal(http.StatusGatewayTimeout, "Timeout")
		status["details"] = Object{"causes": []any{Object{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}}}
		answer(w, http.StatusGatewayTimeout, status)
	default:
		list := Object{
			"kind": listKinds[name], "apiVersion": strings.TrimSuffix(name, name[strings.LastIndex(name, "/"):]), "metadata": Object{"resourceVersion": strconv.Itoa(s.version)},
			"items": slices.Collect(maps.Values(objects)),
		}
		if name == Definitions {
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
	answer(w, code, refusal(code, reason))
}

func refusal(code int, reason string) Object {
	return Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code}
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

// Selector gives the field selector of the last question for a resource.
func (s *Server) Selector(resource string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[resource]
}

// Put adds or changes an object.
func (s *Server) Put(resource string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	meta := o["metadata"].(Object)
	meta["resourceVersion"] = strconv.Itoa(s.version)
	kind := "ADDED"
	if _, was := s.Objects[resource][nameOf(o)]; was {
		kind = "MODIFIED"
	}
	s.Objects[resource][nameOf(o)] = o
	s.tell(resource, event{kind, o, s.version})
}

// Remove deletes an object.
func (s *Server) Remove(resource string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	delete(s.Objects[resource], nameOf(o))
	o["metadata"].(Object)["resourceVersion"] = strconv.Itoa(s.version)
	s.tell(resource, event{"DELETED", o, s.version})
}

func (s *Server) tell(resource string, e event) {
	s.past[resource] = append(s.past[resource], e)
	for ch, from := range s.watches[resource] {
		if e.version > from {
			ch <- e
		}
	}
}

// Set changes what the server does, and ends all watches.
func (s *Server) Set(change func(*Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	for _, of := range s.watches {
		for ch := range of {
			close(ch)
		}
	}
	s.watches = map[string]map[chan event]int{}
}

// Rewind puts the server back to a state in which it has come to a version only, and has forgotten what happened
// since. What differs then, change makes so.
func (s *Server) Rewind(version int, change func(*Server)) {
	s.Set(func(s *Server) {
		s.version, s.past = version, map[string][]event{}
		change(s)
	})
}

func nameOf(o Object) string {
	meta := o["metadata"].(Object)
	ns, _ := meta["namespace"].(string)
	return ns + "/" + meta["name"].(string)
}
