package debug

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// Answer answers the questions that Istio's tools ask over ADS. Who may know what is as with the
// pages: the machine itself, the root namespace and replicas of the control plane all, others what is about proxies of
// their own namespace. Control planes of other revisions may know of roots besides, since a rotation waits for what they
// say. The error is a gRPC status.
func (s *Server) Answer(ctx context.Context, q xds.Question) (xds.Answer, error) {
	caller, err := s.callerOver(q)
	if err != nil {
		return xds.Answer{}, err
	}
	answer := xds.Answer{Identifier: s.identifier()}
	switch q.Type {
	case xds.DebugType:
		answer.Resources, err = s.pageOver(ctx, q, caller)
	case xds.DebugSyncz:
		answer.Resources, err = s.synczOver(caller)
	case xds.DebugConfigDump:
		answer.Resources, err = s.dumpOver(q, caller)
	default:
		err = grpcstatus.Errorf(codes.InvalidArgument, "type %q is not served; ask for %s, %s or %s", q.Type, xds.DebugType, xds.DebugSyncz, xds.DebugConfigDump)
	}
	return answer, err
}

// caller is who asks over ADS.
type caller struct {
	all       bool // may know everything
	roots     bool // and of roots, in any case
	namespace string
}

func (c caller) sees(namespace string) bool { return c.all || c.namespace == namespace }

func (s *Server) callerOver(q xds.Question) (caller, error) {
	switch snap := s.opts.Snapshot(); {
	case local(q.Peer):
		return caller{all: true}, nil
	case q.Identity == nil:
		return caller{}, grpcstatus.Error(codes.Unauthenticated, "debugging over plaintext is for the control plane's own machine; ask on the port with TLS, with a token or a certificate")
	case snap == nil:
		return caller{}, grpcstatus.Error(codes.Unavailable, "the first configuration is not committed yet")
	default:
		of := q.Identity.Namespace
		replica := of == s.opts.Replica.Namespace && q.Identity.ServiceAccount == s.opts.Replica.ServiceAccount
		roots := s.opts.ControlPlane != nil && s.opts.ControlPlane(*q.Identity)
		return caller{replica || of == snap.Mesh().GetRootNamespace(), roots, of}, nil
	}
}

// identifier names this replica and its version, in the schema that Istio's tools read.
func (s *Server) identifier() string {
	b, err := json.Marshal(map[string]any{
		"Component": "istiod", "ID": s.opts.Name,
		"Info": map[string]string{"version": s.opts.Version, "tag": s.opts.Version, "golang_version": runtime.Version(), "status": "Clean"},
	})
	if err != nil {
		return "" // texts can be marshalled
	}
	return string(b)
}

// synczOver gives a ClientConfig for each proxy that the caller may know of.
func (s *Server) synczOver(c caller) ([]*discoveryv3.Resource, error) {
	var out []*discoveryv3.Resource
	for _, conn := range s.opts.Connections() {
		if !c.sees(conn.Node.Namespace) {
			continue
		}
		a, err := anypb.New(s.clientConfig(conn))
		if err != nil {
			return nil, err
		}
		out = append(out, &discoveryv3.Resource{Name: conn.Proxy(), Resource: a})
	}
	return out, nil
}

// clientConfig tells a proxy's state in the schema of CSDS: by type URL, and in the fields that tools
// before Istio 1.17 read.
func (s *Server) clientConfig(c xds.Connection) *statusv3.ClientConfig {
	out := &statusv3.ClientConfig{Node: &corev3.Node{Id: c.Proxy(), Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"CLUSTER_ID": structpb.NewStringValue(s.clusterOf(c)), "NAMESPACE": structpb.NewStringValue(c.Node.Namespace),
		"ISTIO_VERSION": structpb.NewStringValue(c.Node.IstioVersion),
	}}}}
	for _, t := range []resource.Type{resource.Clusters, resource.Listeners, resource.Endpoints, resource.Routes} {
		state := configStatus(c.Types[t].State)
		out.GenericXdsConfigs = append(out.GenericXdsConfigs, &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: t.URL(), ConfigStatus: state})
		former := &statusv3.PerXdsConfig{Status: state}
		switch t {
		case resource.Clusters:
			former.PerXdsConfig = &statusv3.PerXdsConfig_ClusterConfig{}
		case resource.Listeners:
			former.PerXdsConfig = &statusv3.PerXdsConfig_ListenerConfig{}
		case resource.Endpoints:
			former.PerXdsConfig = &statusv3.PerXdsConfig_EndpointConfig{}
		case resource.Routes:
			former.PerXdsConfig = &statusv3.PerXdsConfig_RouteConfig{}
		}
		//lint:ignore SA1019 older tools read it
		out.XdsConfig = append(out.XdsConfig, former)
	}
	return out
}

func configStatus(s xds.State) statusv3.ConfigStatus {
	switch s {
	case xds.StateSynced:
		return statusv3.ConfigStatus_SYNCED
	case xds.StateStale:
		return statusv3.ConfigStatus_STALE
	case xds.StateError:
		return statusv3.ConfigStatus_ERROR
	}
	return statusv3.ConfigStatus_NOT_SENT
}

// dumpOver gives the sections of a proxy's ConfigDump.
func (s *Server) dumpOver(q xds.Question, c caller) ([]*discoveryv3.Resource, error) {
	id, err := oneName(q)
	if err != nil {
		return nil, err
	}
	if !c.sees(namespaceOfProxy(id)) {
		return nil, grpcstatus.Errorf(codes.PermissionDenied, "namespace %q may see its own proxies only, and %q is none of them", c.namespace, id)
	}
	conn, ok := s.connectionOf(id)
	if !ok {
		return text(q.Type, id, notConnected), nil // by which tools know that they have to ask another replica
	}
	dump, err := dumpOf(conn)
	if err != nil {
		return nil, err
	}
	var out []*discoveryv3.Resource
	for _, part := range dump.GetConfigs() {
		out = append(out, &discoveryv3.Resource{Resource: part})
	}
	return out, nil
}

func oneName(q xds.Question) (string, error) {
	if len(q.Names) != 1 || q.Names[0] == "" {
		return "", grpcstatus.Errorf(codes.InvalidArgument, "%s takes one resource name, there are %d", q.Type, len(q.Names))
	}
	return q.Names[0], nil
}

func text(url, name, body string) []*discoveryv3.Resource {
	return []*discoveryv3.Resource{{Name: name, Resource: &anypb.Any{TypeUrl: url, Value: []byte(body)}}}
}

// pageOver serves a page, by its path below /debug with its query, as over HTTP. Its text is the
// answer, also where it is an error's.
func (s *Server) pageOver(ctx context.Context, q xds.Question, c caller) ([]*discoveryv3.Resource, error) {
	name, err := oneName(q)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(name)
	if err != nil || target.IsAbs() || target.Host != "" {
		return nil, grpcstatus.Errorf(codes.InvalidArgument, "%q is no page; ask for list", name)
	}
	path := "/debug/" + strings.Trim(target.Path, "/")
	pages := s.pages()
	// Profiles are no text, and take their time.
	i := slices.IndexFunc(pages, func(p debugPage) bool { return p.path == path && !p.large && !strings.HasPrefix(path, "/debug/pprof/") })
	if i < 0 {
		return nil, grpcstatus.Errorf(codes.NotFound, "there is no page %q over ADS; ask for list", target.Path)
	}
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: target.RawQuery}, Header: http.Header{}}).WithContext(ctx)
	if !c.all && !(c.roots && path == RootsPath) && (!pages[i].proxy || proxyNamespace(r) != c.namespace) {
		return nil, grpcstatus.Error(codes.PermissionDenied, s.forbidden(c.namespace))
	}
	var body recorder
	pages[i].serve(&body, r)
	return text(q.Type, name, body.String()), nil
}

// recorder takes a page's text.
type recorder struct {
	bytes.Buffer
	header http.Header
}

// Header gives what nobody reads.
func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader takes the status, which the text tells as well.
func (r *recorder) WriteHeader(int) {}

var _ http.ResponseWriter = (*recorder)(nil)
