// Package caserver offers the CA to the mesh's agents: istio.v1.auth.IstioCertificateService. A
// caller gets a certificate for the identity that it proved, never for one that it named. Each certificate
// and each refusal is counted and logged.
package caserver

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/turn"
)

// Authority signs; *ca.Authority is one.
type Authority interface {
	SignProven(csrPEM []byte, proof auth.Proof, ttl time.Duration) (ca.Issued, error)
	NotAfter() (root, chain time.Time)
}

// Authenticator proves who calls, with errors that are gRPC statuses; *auth.Authenticator is one.
type Authenticator interface {
	Prove(ctx context.Context) (auth.Proof, error)
}

const (
	// maxWaiting bounds the requests that wait for a free processor; more are turned away, and their
	// agents come back after a while.
	maxWaiting = 2048
	// maxPresentIdentity bounds those of one identity that are read, wait or are signed.
	maxPresentIdentity = maxWaiting / 2
	// identityRate is how many requests in a second an identity may have, after identityBurst of them,
	// before those of others are signed first: a Deployment of a thousand pods that all start is within it.
	identityRate, identityBurst = 200, 2000
)

// readTimeout bounds how long a caller with proof may take to send its request.
const readTimeout = 10 * time.Second

// impersonated is Istio's metadata field by which a node agent asks for another's certificate.
const impersonated = "ImpersonatedIdentity"

// Server is the certificate service.
type Server struct {
	security.UnimplementedIstioCertificateServiceServer
	authority     Authority
	authenticator Authenticator
	audit         *audit
	metrics       *metrics

	// signing lets as many sign at a time as there are processors, in turns by identity.
	signing *turn.Queue[auth.Identity]

	mu       sync.Mutex
	present  map[auth.Identity]int // requests that are being read, waiting or signed
	perIdent int
}

// New gives a Server whose metrics are registered at reg, which may be nil.
func New(authority Authority, authenticator Authenticator, log *slog.Logger, reg prometheus.Registerer) *Server {
	return &Server{
		authority:     authority,
		authenticator: authenticator,
		audit:         newAudit(log),
		metrics:       newMetrics(reg, authority),
		signing: turn.New[auth.Identity](turn.Options{
			Slots: runtime.GOMAXPROCS(0), Places: maxWaiting, Rate: identityRate, Burst: identityBurst,
		}),
		present:  map[auth.Identity]int{},
		perIdent: maxPresentIdentity,
	}
}

// Register adds the service to a gRPC server. Its method is registered as a stream of one request,
// which is the same on the wire: gRPC reads the request of any other method before the caller has
// proven anything.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	desc := security.IstioCertificateService_ServiceDesc
	desc.Methods = nil
	desc.Streams = []grpc.StreamDesc{{
		StreamName: "CreateCertificate",
		Handler:    func(_ any, stream grpc.ServerStream) error { return s.serve(stream) },
	}}
	r.RegisterService(&desc, s)
}

// serve answers one request over gRPC.
func (s *Server) serve(stream grpc.ServerStream) error {
	ctx := stream.Context()
	proof, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	req := &security.IstioCertificateRequest{}
	read := make(chan error, 1)
	go func() { read <- stream.RecvMsg(req) }() // ends with the stream, when this function has returned
	select {
	case err = <-read:
	case <-time.After(readTimeout):
		err = status.Errorf(codes.DeadlineExceeded, "%s: the request did not come within %v", proof.Identity, readTimeout)
	}
	if err != nil {
		return s.refuse(ctx, proof, late, err)
	}
	resp, err := s.create(ctx, proof, req)
	if err != nil {
		return err
	}
	return stream.SendMsg(resp)
}

// CreateCertificate implements the service.
func (s *Server) CreateCertificate(ctx context.Context, req *security.IstioCertificateRequest) (*security.IstioCertificateResponse, error) {
	proof, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.create(ctx, proof, req)
}

// enter proves who calls, and takes a place of those that its identity has.
func (s *Server) enter(ctx context.Context) (proof auth.Proof, leave func(), err error) {
	s.metrics.requests.Inc()
	if proof, err = s.authenticator.Prove(ctx); err != nil {
		return proof, nil, s.refuse(ctx, auth.Proof{}, unauthenticated, err)
	}
	if !s.arrive(proof.Identity) {
		return proof, nil, s.refuse(ctx, proof, limit, status.Errorf(codes.ResourceExhausted, "%s: too many certificate requests at a time", proof.Identity))
	}
	return proof, func() { s.depart(proof.Identity) }, nil
}

func (s *Server) arrive(id auth.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.present[id] >= s.perIdent {
		return false
	}
	s.present[id]++
	return true
}

func (s *Server) depart(id auth.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.present[id]--; s.present[id] == 0 {
		delete(s.present, id)
	}
}

// create makes the certificate that a caller asks for.
func (s *Server) create(ctx context.Context, proof auth.Proof, req *security.IstioCertificateRequest) (*security.IstioCertificateResponse, error) {
	id := proof.Identity
	if f := req.GetMetadata().GetFields()[impersonated]; f.GetStringValue() != "" {
		return nil, s.refuse(ctx, proof, impersonation, status.Errorf(codes.PermissionDenied, "%s may not ask for another's certificate", id))
	}
	leave, err := s.signing.Enter(ctx, id)
	switch {
	case errors.Is(err, turn.ErrFull):
		return nil, s.refuse(ctx, proof, limit, status.Error(codes.ResourceExhausted, "too many certificate requests at a time"))
	case err != nil:
		return nil, s.refuse(ctx, proof, late, status.FromContextError(err).Err())
	}
	issued, err := s.authority.SignProven([]byte(req.GetCsr()), proof, seconds(req.GetValidityDuration()))
	leave()
	switch {
	case errors.Is(err, ca.ErrRequest):
		return nil, s.refuse(ctx, proof, badRequest, status.Errorf(codes.InvalidArgument, "%s: %v", id, err))
	case err != nil:
		// The reason may tell of the CA's own affairs: it is for the operator.
		_ = s.refuse(ctx, proof, failed, err)
		return nil, status.Errorf(codes.Internal, "%s: the CA cannot sign at present", id)
	}
	s.metrics.issued.Inc()
	s.metrics.proven.WithLabelValues(string(proof.By)).Inc()
	s.audit.issued(ctx, proof, issued)
	return &security.IstioCertificateResponse{CertChain: issued.Chain}, nil
}

// refuse counts and logs a refusal, and gives its error.
func (s *Server) refuse(ctx context.Context, proof auth.Proof, why reason, err error) error {
	s.metrics.refuse(why)
	s.audit.refused(ctx, proof, why, err)
	return err
}

// seconds reads a lifetime that may be any number.
func seconds(n int64) time.Duration {
	if n > int64(math.MaxInt64/time.Second) {
		return math.MaxInt64
	}
	return time.Duration(max(n, 0)) * time.Second
}
