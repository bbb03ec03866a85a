package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	security "istio.io/api/security/v1alpha1"
)

const (
	// issueClients is how many callers ask for certificates, each with an identity and a connection of its own.
	issueClients = 8
	// issueRate is how many certificates the goal wants in a second.
	issueRate = 200
)

// subscriber asks for certificates.
type subscriber struct {
	conn *grpc.ClientConn
	csr  string
}

func (s *subscriber) ask(ctx context.Context) error {
	resp, err := security.NewIstioCertificateServiceClient(s.conn).CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: s.csr})
	if err == nil && len(resp.GetCertChain()) < 2 {
		err = errors.New("the answer holds no chain")
	}
	return err
}

// subscribers connects callers that prove themselves by certificates of the server's CA.
func (r *runner) subscribers(n int) (all []*subscriber, closeAll func(), err error) {
	by, err := openAuthority(r.server.caDir)
	if err != nil {
		return nil, nil, err
	}
	closeAll = func() {
		for _, s := range all {
			_ = s.conn.Close() // nothing is under way
		}
	}
	for i := range n {
		cert, err := by.workload(fmt.Sprintf("ns-%d", i), "default")
		if err != nil {
			return nil, closeAll, err
		}
		settings := by.client()
		settings.Certificates = []tls.Certificate{*cert}
		conn, err := grpc.NewClient(r.server.secure, grpc.WithTransportCredentials(credentials.NewTLS(settings)))
		if err != nil {
			return nil, closeAll, err
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, cert.PrivateKey)
		if err != nil {
			return nil, closeAll, err
		}
		all = append(all, &subscriber{conn, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	}
	return all, closeAll, nil
}

// issuing measures certificates, which f asks for, beside as many rounds of bare P-256.
func (r *runner) issuing(ctx context.Context, name string, f func(context.Context, []*subscriber) ([]time.Duration, error)) error {
	all, closeAll, err := r.subscribers(issueClients)
	if err != nil {
		return err
	}
	defer closeAll()
	for _, s := range all { // connects, and makes the server's first ones
		if err := s.ask(ctx); err != nil {
			return err
		}
	}
	result := &Result{Name: name, Clients: len(all)}
	profiles, err := r.profile(ctx, name)
	if err != nil {
		return err
	}
	before, err := r.server.sample(ctx)
	if err != nil {
		return err
	}
	watch, err := startWatch(r.server.Process)
	if err != nil {
		return err
	}
	took, err := f(ctx, all)
	if err = errors.Join(err, watch.stop(result), profiles()); err != nil {
		return err
	}
	after, err := r.server.sample(ctx)
	if err != nil {
		return err
	}
	result.Allocs, result.AllocBytes = after.allocs-before.allocs, after.allocBytes-before.allocBytes
	result.Changes, result.Concerned, result.Making, result.Each = len(took), 1, result.Seconds, quantiles(took)
	bare, err := bareP256(min(len(took), 5000))
	result.FloorCPU = bare.Seconds() * float64(len(took))
	result.Notes = append(result.Notes, fmt.Sprintf("%.0f certificates a second; bare P-256, one signature and two verifications: %.0f µs of CPU",
		per(float64(len(took)), result.Seconds), float64(bare.Nanoseconds())/1000))
	r.results = append(r.results, result)
	return err
}

// certificates asks for as many as the server gives, one after the other on each connection.
func (r *runner) certificates(ctx context.Context) error {
	return r.issuing(ctx, scenarioCertificates, func(ctx context.Context, all []*subscriber) ([]time.Duration, error) {
		took := make([][]time.Duration, len(all))
		group, ctx := errgroup.WithContext(ctx)
		end := time.Now().Add(r.Storm)
		for i, s := range all {
			group.Go(func() error {
				for now := time.Now(); now.Before(end); now = time.Now() {
					if err := s.ask(ctx); err != nil {
						return err
					}
					took[i] = append(took[i], time.Since(now))
				}
				return nil
			})
		}
		err := group.Wait()
		var out []time.Duration
		for _, list := range took {
			out = append(out, list...)
		}
		return out, err
	})
}

// certificateRate asks for them at a fixed rate, whether or not those before have come.
func (r *runner) certificateRate(ctx context.Context) error {
	return r.issuing(ctx, scenarioCertificateRate, func(ctx context.Context, all []*subscriber) ([]time.Duration, error) {
		took := make([]time.Duration, int(r.Storm.Seconds()*issueRate))
		group, ctx := errgroup.WithContext(ctx)
		start := time.Now()
		for i := range took {
			due := start.Add(time.Duration(i) * time.Second / issueRate)
			if err := sleep(ctx, time.Until(due)); err != nil {
				return nil, errors.Join(err, group.Wait())
			}
			group.Go(func() error {
				err := all[i%len(all)].ask(ctx)
				took[i] = time.Since(due)
				return err
			})
		}
		return took, group.Wait()
	})
}

// bareP256 gives the CPU time of the least that a certificate takes: its request's signature verified, one
// made, and that one verified.
func bareP256(rounds int) (time.Duration, error) {
	var sum atomic.Int64
	var group errgroup.Group
	all := runtime.GOMAXPROCS(0)
	for range all { // as busy as they are while the server signs
		group.Go(func() error {
			took, err := bareRounds(rounds)
			sum.Add(int64(took))
			return err
		})
	}
	err := group.Wait()
	return time.Duration(sum.Load()) / time.Duration(max(rounds*all, 1)), err
}

// bareRounds gives the CPU time of some rounds by one processor.
func bareRounds(rounds int) (time.Duration, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("certificate"))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadCPU()
	if err != nil {
		return 0, err
	}
	for range rounds {
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			return 0, err
		}
		for range 2 {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				return 0, errors.New("a signature of P-256 does not verify")
			}
		}
	}
	after, err := threadCPU()
	return after - before, err
}

func threadCPU() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
