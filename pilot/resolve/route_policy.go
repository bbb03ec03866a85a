package resolve

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const defaultAttempts = 2

// defaultConditions hold no 503, which may come from a request that was carried out.
var defaultConditions = []string{"connect-failure", "refused-stream", "unavailable", "cancelled"}

const retriableStatusCodes = "retriable-status-codes"

// retry translates a rule's policy, or, without one, the mesh's; nil for no retries. Requests that are hashed to a host
// are retried there, unless the policy says otherwise.
func retry(r Reader, p *networking.HTTPRetry, hashed bool) *ir.Retry {
	out := &ir.Retry{Attempts: defaultAttempts, On: defaultConditions, AvoidPreviousHosts: !hashed}
	if p = cmp.Or(p, r.Mesh().GetDefaultHttpRetryPolicy()); p == nil {
		return out
	}
	if p.GetAttempts() <= 0 {
		return nil
	}
	out.Attempts = uint32(p.GetAttempts())
	if p.GetRetryOn() != "" {
		out.On, out.StatusCodes = conditions(p.GetRetryOn())
	}
	out.PerTryTimeout, out.BackOff = p.GetPerTryTimeout().AsDuration(), p.GetBackoff().AsDuration()
	if ignore := p.GetRetryIgnorePreviousHosts(); ignore != nil {
		out.AvoidPreviousHosts = ignore.GetValue()
	}
	out.RemoteLocalities = p.GetRetryRemoteLocalities().GetValue()
	return out
}

// conditions takes a retryOn apart into Envoy's conditions and status codes.
func conditions(retryOn string) (on []string, codes []uint32) {
	for part := range strings.SplitSeq(retryOn, ",") {
		part = strings.TrimSpace(part)
		if n, err := strconv.ParseUint(part, 10, 32); err == nil {
			codes = append(codes, uint32(n))
		} else if part != "" {
			on = append(on, part)
		}
	}
	if len(codes) > 0 && !slices.Contains(on, retriableStatusCodes) {
		on = append(on, retriableStatusCodes)
	}
	return on, codes
}

func cors(p *networking.CorsPolicy) *ir.CORS {
	if p == nil {
		return nil
	}
	out := &ir.CORS{Methods: p.GetAllowMethods(), Headers: p.GetAllowHeaders(), Expose: p.GetExposeHeaders(), MaxAge: optional(p.GetMaxAge())}
	//lint:ignore SA1019 users still write it
	for _, o := range p.GetAllowOrigin() {
		out.Origins = append(out.Origins, ir.StringMatch{Kind: ir.MatchExact, Value: o})
	}
	for _, o := range p.GetAllowOrigins() {
		out.Origins = append(out.Origins, stringMatch(o))
	}
	out.Credentials = given(p.GetAllowCredentials(), (*wrapperspb.BoolValue).GetValue)
	if u := p.GetUnmatchedPreflights(); u != networking.CorsPolicy_UNSPECIFIED {
		v := u == networking.CorsPolicy_FORWARD
		out.ForwardUnmatched = &v
	}
	return out
}

// fault translates delays and aborts. Without a percentage no request is concerned.
func (s *ruleSet) fault(field string, f *networking.HTTPFaultInjection) *ir.Fault {
	if f == nil {
		return nil
	}
	out := &ir.Fault{}
	if d := f.GetDelay(); d.GetFixedDelay() != nil {
		percentage := d.GetPercentage()
		//lint:ignore SA1019 users still write it
		if old := d.GetPercent(); percentage == nil && old != 0 {
			percentage = &networking.Percent{Value: float64(old)}
		}
		if out.DelayShare = s.faultShare(field+".delay", percentage); out.DelayShare > 0 {
			out.Delay = d.GetFixedDelay().AsDuration()
		}
	}
	if a := f.GetAbort(); a.GetErrorType() != nil {
		if out.AbortShare = s.faultShare(field+".abort", a.GetPercentage()); out.AbortShare > 0 {
			out.AbortHTTP = uint32(a.GetHttpStatus())
			if code := slices.Index(grpcCodes, a.GetGrpcStatus()); code >= 0 {
				status := uint32(code)
				out.AbortGRPC = &status
			}
		}
	}
	if out.DelayShare == 0 && out.AbortShare == 0 {
		return nil
	}
	return out
}

func (s *ruleSet) faultShare(field string, p *networking.Percent) ir.Fraction {
	if p == nil {
		s.warn(field, model.ReasonInvalid, "there is no percentage, so no request is concerned; write percentage: {value: 100} for all")
		return 0
	}
	return shareOf(p)
}

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
