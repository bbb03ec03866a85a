package translate

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// place is one listener of a translation, to be served on loopback.
type place struct {
	listener string
	port     int // to listen on; 0 for any
	// handle serves the connections of all clusters; nil for servers of HTTP.
	handle func(net.Conn)
}

// served is an Envoy that serves one listener of a translation, with a server of its own behind each
// cluster; PassthroughCluster is one that sends bytes back.
type served struct {
	t    *testing.T
	addr string
	// requests are what the servers saw, as far as it was not waited for by someone.
	requests chan answer
}

// answer is what a server saw of a request.
type answer struct {
	Cluster, Path, Host, Proto string
	Header                     http.Header
}

// translate gives what a proxy gets for YAML documents that have no fault of form.
func translate(t *testing.T, documents string, p Proxy) Resources {
	t.Helper()
	return translateWith(t, build.Options{}, documents, p)
}

// translateWith does so as a control plane with options.
func translateWith(t *testing.T, options build.Options, documents string, p Proxy) Resources {
	t.Helper()
	objects, problems := file.Decode([]byte(documents), "input.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(p.IPs) == 0 {
		p.IPs = []string{"10.0.0.9"}
	}
	if p.Name == "" {
		p.Name = "proxy-0"
	}
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	return BuildBy(options, Snapshot(objects), p.Model())
}

func serve(t *testing.T, res Resources, at place) *served {
	t.Helper()
	if at.port == 0 {
		at.port = envoytest.FreePort(t)
	}
	out := &served{t, "127.0.0.1:" + strconv.Itoa(at.port), make(chan answer, 1000)}
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	for _, l := range inlined(t, res) {
		if l.Name == at.listener {
			l.Address, l.BindToPort = address(at.port), nil
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
		}
	}
	if len(b.StaticResources.Listeners) != 1 {
		t.Fatalf("there is no listener %s", at.listener)
	}
	for _, r := range res.ByType["clusters"] {
		cl := r.Body.(*clusterv3.Cluster)
		var port int
		switch {
		case at.handle != nil:
			port = rawServer(t, at.handle)
		case cl.Name == "PassthroughCluster":
			port = rawServer(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
		default:
			port = out.httpServer(cl.Name)
		}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl, port))
	}
	startStatic(t, b)
	return out
}

func rawServer(t *testing.T, handle func(net.Conn)) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// httpServer says what it saw. /fail fails, /slow waits for the client to go, /refuse does not read the
// body, and a call of gRPC ends well.
func (s *served) httpServer(cluster string) int {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fail":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/slow":
			<-r.Context().Done()
		case "/refuse":
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		a := answer{cluster, r.RequestURI, r.Host, r.Proto, r.Header}
		s.requests <- a
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			w.Header().Set("Trailer", "Grpc-Status")
			w.Header().Set("Grpc-Status", "0")
			return
		}
		_ = json.NewEncoder(w).Encode(a)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	s.t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// get asks for a path of a host, and gives the status and what the server saw, if one was asked.
func (s *served) get(t *testing.T, host, path string, header http.Header) (*http.Response, answer) {
	t.Helper()
	return s.send(t, http.MethodGet, host, path, header, nil)
}

func (s *served) send(t *testing.T, method, host, path string, header http.Header, body io.Reader) (*http.Response, answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	if header != nil {
		req.Header = header
	}
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if json.Unmarshal(text, &a) != nil {
		a.Path = string(text)
	}
	return res, a
}
