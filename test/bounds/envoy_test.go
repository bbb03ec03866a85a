package bounds

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const (
	clusterURL  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	listenerURL = "type.googleapis.com/envoy.config.listener.v3.Listener"
)

// judge is a real Envoy that is asked what it takes.
type judge struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	secret.UnimplementedSecretDiscoveryServiceServer

	t       *testing.T
	secrets *envoytest.Secrets
	stream  discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	started chan struct{}
	answers chan *discovery.DeltaDiscoveryRequest
	nonce   int

	mu      sync.Mutex
	refused []string // of secrets, by name
}

// newJudge starts an Envoy that has nothing.
func newJudge(t *testing.T) *judge {
	t.Helper()
	dir, err := os.MkdirTemp("", "bounds") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	j := &judge{
		t: t, secrets: envoytest.NewSecrets(t), started: make(chan struct{}),
		answers: make(chan *discovery.DeltaDiscoveryRequest, 100),
	}
	socket := filepath.Join(dir, "xds.sock")
	envoytest.ServeUnix(t, socket, func(srv *grpc.Server) {
		discovery.RegisterAggregatedDiscoveryServiceServer(srv, j)
		secret.RegisterSecretDiscoveryServiceServer(srv, j)
	}, grpc.MaxRecvMsgSize(64<<20))
	envoytest.Run(t, envoytest.Config{Node: "judge", Socket: socket, Apart: true})
	select {
	case <-j.started:
	case <-time.After(2 * time.Minute):
		t.Fatal("Envoy did not ask for listeners")
	}
	return j
}

// DeltaAggregatedResources answers first requests with nothing and hands over what is said of the
// later responses. Routes and endpoints are not asked for, as all is inline.
func (j *judge) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	j.stream = s
	first := map[string]bool{}
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if first[r.GetTypeUrl()] {
			if n, err := strconv.Atoi(r.GetResponseNonce()); err == nil && n > 0 {
				j.answers <- r
			}
			continue
		}
		first[r.GetTypeUrl()] = true
		if err := s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: r.GetTypeUrl(), Nonce: "0"}); err != nil {
			return err
		}
		if r.GetTypeUrl() == listenerURL {
			close(j.started)
		}
	}
}

// StreamSecrets gives a secret of every name, so that what needs one is finished.
func (j *judge) StreamSecrets(s secret.SecretDiscoveryService_StreamSecretsServer) error {
	sent := ""
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if r.GetErrorDetail() != nil {
			j.mu.Lock()
			j.refused = append(j.refused, fmt.Sprint(r.GetResourceNames(), ": ", r.GetErrorDetail().GetMessage()))
			j.mu.Unlock()
			continue
		}
		if names := fmt.Sprint(r.GetResourceNames()); names != sent {
			sent = names
			out := &discovery.DiscoveryResponse{TypeUrl: r.GetTypeUrl(), VersionInfo: "1", Nonce: "1"}
			for _, name := range r.GetResourceNames() {
				out.Resources = append(out.Resources, envoy.Any(j.secrets.Named(name)))
			}
			if err := s.Send(out); err != nil {
				return err
			}
		}
	}
}

// refuses gives the reasons why Envoy does not take some candidates, by their place in the list.
func (j *judge) refuses(candidates []*candidate) map[*candidate]string {
	out := map[*candidate]string{}
	for _, url := range []string{clusterURL, listenerURL} {
		var chunk []*candidate
		for _, c := range candidates {
			if c.url == url {
				chunk = append(chunk, c)
			}
			if len(chunk) == 100 {
				j.bisect(url, chunk, out)
				chunk = nil
			}
		}
		j.bisect(url, chunk, out)
	}
	return out
}

// bisect finds those in a chunk that are refused. Envoy may refuse a response for one resource in
// it, so each refusal is cut in two.
func (j *judge) bisect(url string, chunk []*candidate, out map[*candidate]string) {
	if len(chunk) == 0 {
		return
	}
	response := &discovery.DeltaDiscoveryResponse{TypeUrl: url}
	removal := &discovery.DeltaDiscoveryResponse{TypeUrl: url}
	for _, c := range chunk {
		response.Resources = append(response.Resources, &discovery.Resource{Name: c.name, Version: c.name, Resource: c.body})
		removal.RemovedResources = append(removal.RemovedResources, c.name)
	}
	reason := j.send(response)
	j.send(removal)
	switch {
	case reason == "":
	case len(chunk) == 1:
		out[chunk[0]] = reason
	default:
		j.bisect(url, chunk[:len(chunk)/2], out)
		j.bisect(url, chunk[len(chunk)/2:], out)
	}
}

// send gives Envoy's reason to refuse a response, "" when it takes it.
func (j *judge) send(r *discovery.DeltaDiscoveryResponse) string {
	j.nonce++
	r.Nonce = strconv.Itoa(j.nonce)
	if err := j.stream.Send(r); err != nil {
		j.t.Fatal(err)
	}
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case a := <-j.answers:
			if a.GetResponseNonce() == r.GetNonce() {
				return a.GetErrorDetail().GetMessage()
			}
		case <-deadline:
			j.t.Fatalf("no answer of Envoy to %d resources from %s", len(r.GetResources()), r.GetResources())
		}
	}
}

// secretsRefused gives the reasons why Envoy did not take secrets together with what uses them.
func (j *judge) secretsRefused() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refused
}
