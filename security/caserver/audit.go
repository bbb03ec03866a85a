package caserver

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/loglimit"
)

// reason why a request got no certificate, as metrics and the audit log name it.
type reason string

// The reasons.
const (
	unauthenticated reason = "unauthenticated" // no proof of identity
	impersonation   reason = "impersonation"   // it asked for the certificate of another
	limit           reason = "limit"           // its identity, or all together, have too many requests
	late            reason = "timeout"         // it did not come, or its caller went away
	badRequest      reason = "request"         // what it holds: a weak key, a wrong signature, no request at all
	failed          reason = "ca"              // the CA cannot sign
)

var reasons = []reason{unauthenticated, impersonation, limit, late, badRequest, failed}

// audit logs who got which certificate, and who was refused, one structured line each. No line holds a key, a
// request or a token.
type audit struct {
	log *slog.Logger
	// refusals are bounded: callers without proof, who are one, could else fill a disk. What was issued is
	// always logged.
	refusals loglimit.Limiter[auth.Identity]
}

func newAudit(log *slog.Logger) *audit { return &audit{log: log} }

// issued logs a certificate.
func (a *audit) issued(ctx context.Context, proof auth.Proof, got ca.Issued) {
	leaf := got.Leaf
	attrs := []slog.Attr{
		slog.String("identity", proof.Identity.String()), slog.String("serial", leaf.SerialNumber.Text(16)),
		slog.Time("notAfter", leaf.NotAfter), slog.String("key", ca.KeyName(leaf.PublicKey)), slog.String("issuer", leaf.Issuer.String()),
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "certificate issued", append(attrs, whoCalled(ctx, proof)...)...)
}

// refused logs a request that got none.
func (a *audit) refused(ctx context.Context, proof auth.Proof, why reason, err error) {
	write, leftOut := a.refusals.Allow(proof.Identity, time.Now())
	if leftOut > 0 {
		a.log.LogAttrs(ctx, slog.LevelWarn, "certificate requests were refused that are not logged", slog.Int("number", leftOut))
	}
	if !write {
		return
	}
	level := slog.LevelWarn
	if why == failed {
		level = slog.LevelError
	}
	attrs := append([]slog.Attr{slog.String("reason", string(why))}, whoCalled(ctx, proof)...)
	a.log.LogAttrs(ctx, level, "certificate refused", append(attrs, slog.Any("error", err))...)
}

// whoCalled tells who called, from where, and how that was proven.
func whoCalled(ctx context.Context, proof auth.Proof) []slog.Attr {
	var attrs []slog.Attr
	if proof.Identity != (auth.Identity{}) {
		attrs = append(attrs, slog.String("caller", proof.Identity.String()), slog.String("proof", string(proof.By)))
		if proof.Serial != "" {
			attrs = append(attrs, slog.String("callerSerial", proof.Serial))
		}
		attrs = append(attrs, slog.Time("provenAt", proof.At))
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		attrs = append(attrs, slog.String("address", p.Addr.String()))
	}
	return attrs
}
