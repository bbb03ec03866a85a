// Package caserver offers the CA to the mesh's agents: istio.v1.auth.IstioCertificateService. A
// caller gets a certificate for the identity that it proved, never for one that it named.
package caserver

import (
	"context"
	"crypto/x509"
	"encoding/pem"
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
)

// Authority signs; *ca.Authority is one.
type Authority interface {
	SignProven(csrPEM []byte, proof auth.Proof, ttl time.Duration) (chainPEM []string, err error)
	NotAfter() (root, chain time.Time)
}

// Authenticator proves who calls, with errors that are gRPC statuses; *auth.Authenticator is one.
type Authenticator interface {
	Prove(ctx context.Context) (auth.Proof, error)
}

// maxWaiting bounds the requests that wait for a free processor; more are turned away, and their
// agents come back after a while.
const maxWaiting = 2048

// maxWaitingIdentity bounds those of one identity, so that others get their turn.
const maxWaitingIdentity = maxWaiting / 2

// readTimeout bounds how long a caller with proof may take to send its request.
const readTimeout = 10 * time.Second

// impersonated is Istio's metadata field by which a node agent asks for another's certificate.
const impersonated = "ImpersonatedIdentity"

// Server is the certificate service.
type Server struct {
	security.UnimplementedIstioCertificateServiceServer
	authority     Authority
	authenticator Authenticator
	log           *slog.Logger
	metrics       *metrics
	// waiting admits, running signs: as many at a time as there are processors.
	waiting, running chan struct{}

	mu       sync.Mutex
	present  map[auth.Identity]int // requests that are being read, waiting or signed
	perIdent int
}

// New gives a Server whose metrics are registered at reg, which may be nil.
func New(authority Authority, authenticator Authenticator, log *slog.Logger, reg prometheus.Registerer) *Server {
	return &Server{
		authority:     authority,
		authenticator: authenticator,
		log:           log,
		metrics:       newMetrics(reg, authority),
		waiting:       make(chan struct{}, maxWaiting),
		running:       make(chan struct{}, runtime.GOMAXPROCS(0)),
		present:       map[auth.Identity]int{},
		perIdent:      maxWaitingIdentity,
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
	proof, leave, err := s.enter(stream.Context())
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
		return err
	}
	resp, err := s.create(stream.Context(), proof, req)
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
		s.metrics.unauthenticated.Inc()
		return proof, nil, err
	}
	id := proof.Identity
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.present[id] >= s.perIdent {
		return proof, nil, status.Errorf(codes.ResourceExhausted, "%s: too many certificate requests at a time", id)
	}
	s.present[id]++
	return proof, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.present[id]--; s.present[id] == 0 {
			delete(s.present, id)
		}
	}, nil
}

// create makes the certificate that a caller asks for.
func (s *Server) create(ctx context.Context, proof auth.Proof, req *security.IstioCertificateRequest) (*security.IstioCertificateResponse, error) {
	id := proof.Identity
	if f := req.GetMetadata().GetFields()[impersonated]; f.GetStringValue() != "" {
		return nil, status.Errorf(codes.PermissionDenied, "%s may not ask for another's certificate", id)
	}
	release, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	chain, err := s.authority.SignProven([]byte(req.GetCsr()), proof, seconds(req.GetValidityDuration()))
	switch {
	case errors.Is(err, ca.ErrRequest):
		s.metrics.badRequests.Inc()
		return nil, status.Errorf(codes.InvalidArgument, "%s: %v", id, err)
	case err != nil:
		s.metrics.signErrors.Inc()
		// The reason may tell of the CA's own affairs: it is for the operator.
		s.log.Error("certificate not signed", "identity", id.String(), "error", err)
		return nil, status.Errorf(codes.Internal, "%s: the CA cannot sign at present", id)
	}
	s.metrics.issued.Inc()
	s.logIssued(ctx, id, chain[0])
	return &security.IstioCertificateResponse{CertChain: chain}, nil
}

// admit waits for its turn to sign.
func (s *Server) admit(ctx context.Context) (release func(), err error) {
	select {
	case s.waiting <- struct{}{}:
	default:
		return nil, status.Error(codes.ResourceExhausted, "too many certificate requests at a time")
	}
	defer func() { <-s.waiting }()
	select {
	case s.running <- struct{}{}:
		return func() { <-s.running }, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (s *Server) logIssued(ctx context.Context, id auth.Identity, leafPEM string) {
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	block, _ := pem.Decode([]byte(leafPEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		s.log.Error("issued certificate cannot be read", "identity", id.String(), "error", err)
		return
	}
	s.log.Info("certificate issued", "identity", id.String(),
		"serial", leaf.SerialNumber.Text(16), "notAfter", leaf.NotAfter)
}

// seconds reads a lifetime that may be any number.
func seconds(n int64) time.Duration {
	if n > int64(math.MaxInt64/time.Second) {
		return math.MaxInt64
	}
	return time.Duration(max(n, 0)) * time.Second
}
