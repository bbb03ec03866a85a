package discovery

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// replicas are the other ones of this control plane. They are asked as Istio's tools ask, on the port of proxies,
// with a certificate of the CA that all of them have.
type replicas struct {
	*cluster
	authority *ca.Keeper
}

// Others gives the addresses of those that are ready endpoints of this revision's Service.
func (r *replicas) Others(ctx context.Context) ([]string, error) {
	at, err := r.endpoints(ctx, discoveryv1.LabelServiceName+"="+incluster.ServiceName(r.cfg.Revision), true)
	return slices.Sorted(maps.Values(at)), err
}

// Peers gives the replicas of all revisions, which have the same CA, also those that are not ready: proxies may be
// connected to them.
func (r *replicas) Peers(ctx context.Context) ([]incluster.Peer, error) {
	at, err := r.endpoints(ctx, "app=istiod", false)
	var out []incluster.Peer
	for _, pod := range slices.Sorted(maps.Keys(at)) {
		out = append(out, incluster.Peer{Name: pod, Address: at[pod]})
	}
	return out, err
}

// endpoints gives the addresses of other pods by name, of which each may have one of each family.
func (r *replicas) endpoints(ctx context.Context, selector string, ready bool) (map[string]string, error) {
	list, err := r.client.DiscoveryV1().EndpointSlices(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of the control plane: %w", err)
	}
	at := map[string]string{}
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			if e.TargetRef == nil || e.TargetRef.Name == r.cfg.Name || len(e.Addresses) == 0 || ready && (e.Conditions.Ready == nil || !*e.Conditions.Ready) {
				continue
			}
			if at[e.TargetRef.Name] == "" {
				at[e.TargetRef.Name] = e.Addresses[0]
			}
		}
	}
	return at, nil
}

// Refused gives what the proxies of the replica at an address refuse.
func (r *replicas) Refused(ctx context.Context, address string) ([]model.Problem, error) {
	page, err := r.ask(ctx, address, "problems")
	if err != nil {
		return nil, err
	}
	all, err := debug.ReadProblems(page)
	// All else this replica knows itself.
	return slices.DeleteFunc(all, func(p model.Problem) bool { return p.Reason != model.ReasonRejected }), err
}

// Roots gives what a replica knows of the roots that its proxies have.
func (r *replicas) Roots(ctx context.Context, p incluster.Peer) (ca.Heard, error) {
	page, err := r.ask(ctx, p.Address, strings.TrimPrefix(debug.RootsPath, "/debug/"))
	if err != nil {
		return ca.Heard{}, err
	}
	return debug.ReadRoots(page)
}

// ask asks the replica at an address for a page.
func (r *replicas) ask(ctx context.Context, address, page string) ([]byte, error) {
	_, port, err := net.SplitHostPort(r.cfg.SecureGRPCAddr)
	if err != nil {
		return nil, fmt.Errorf("--secureGRPCAddr: %w", err)
	}
	as := r.cfg.replica()
	self, err := ownCertificate(r.authority, auth.Identity{TrustDomain: r.authority.TrustDomain(), Namespace: as.Namespace, ServiceAccount: as.ServiceAccount})
	if err != nil {
		return nil, err
	}
	return pageOf(ctx, net.JoinHostPort(address, port), &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: r.authority.Roots(), ServerName: r.cfg.serverNames()[0], Certificates: []tls.Certificate{self},
	}, page)
}

// replica is what replicas of this control plane prove to each other: its namespace, which need not be the mesh's root
// namespace, and its service account there, which is called as its Service is.
func (c *Config) replica() xds.Identity {
	return xds.Identity{Namespace: cmp.Or(c.Namespace, model.RootNamespace), ServiceAccount: incluster.ServiceName(c.Revision)}
}

// controlPlane tells whether an identity is that of a control plane beside this one, of any revision.
func (c *Config) controlPlane(id xds.Identity) bool {
	return id.Namespace == c.replica().Namespace && incluster.IsService(id.ServiceAccount)
}

// ownCertificate gives one for one conversation.
func ownCertificate(authority *ca.Keeper, id auth.Identity) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	chain, err := authority.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), id, time.Minute)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair([]byte(strings.Join(chain, "\n")), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// maxPage bounds what another replica says, in bytes.
const maxPage = 64 << 20

// pageOf asks a control plane for a page.
func pageOf(ctx context.Context, address string, config *tls.Config, page string) ([]byte, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxPage)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: xds.DebugType, ResourceNames: []string{page}}); err != nil {
		return nil, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if len(answer.GetResources()) != 1 {
		return nil, errors.New("the answer is none")
	}
	return answer.GetResources()[0].GetValue(), nil
}
