package resolve

import (
	"math"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const defaultAttempts = 2

// defaultConditions hold no 503, which may come from a request that was carried out.
var defaultConditions = []string{"connect-failure", "refused-stream", "unavailable", "cancelled"}

// retryConditions are those that Envoy knows, of HTTP and of gRPC.
var retryConditions = []string{
	"5xx", "cancelled", "connect-failure", "deadline-exceeded", "envoy-ratelimited", "gateway-error",
	"http3-post-connect-failure", "internal", "refused-stream", "reset", "reset-before-request",
	"resource-exhausted", "retriable-4xx", "retriable-headers", "retriable-status-codes", "unavailable",
}

const retriableStatusCodes = "retriable-status-codes"

// defaultRetry is the mesh's policy for requests whose rule has none.
func defaultRetry(r Reader, hashed bool) *ir.Retry {
	if p := r.Mesh().GetDefaultHttpRetryPolicy(); p != nil {
		return retryOf(p, hashed, func(string, string) {})
	}
	return &ir.Retry{Attempts: defaultAttempts, On: defaultConditions, AvoidPreviousHosts: !hashed}
}

// retry translates a rule's policy; no policy means the mesh's, no attempts no retries.
func (s *ruleSet) retry(field string, p *networking.HTTPRetry, hashed bool) *ir.Retry {
	if p == nil {
		return defaultRetry(s.r, hashed)
	}
	return retryOf(p, hashed, func(at, message string) { s.invalid(field+at, message+"; the rule is left out") })
}

// retryOf translates a policy; nil for no retries, or for one that is broken, which invalid is told. Requests
// that are hashed to a host are retried there, unless the policy says otherwise.
func retryOf(p *networking.HTTPRetry, hashed bool, invalid func(field, message string)) *ir.Retry {
	if p.GetAttempts() < 0 {
		invalid(".attempts", "the number of attempts is negative")
	}
	if p.GetAttempts() <= 0 {
		return nil
	}
	out := &ir.Retry{Attempts: uint32(p.GetAttempts()), On: defaultConditions, AvoidPreviousHosts: !hashed}
	if p.GetRetryOn() != "" {
		on, codes, unknown := conditions(p.GetRetryOn())
		if unknown != "" {
			invalid(".retryOn", strconv.Quote(unknown)+" is neither a status code nor one of "+strings.Join(retryConditions, ", "))
			return nil
		}
		out.On, out.StatusCodes = on, codes
	}
	var ok bool
	if p.GetPerTryTimeout() != nil {
		if out.PerTryTimeout, ok = duration(p.GetPerTryTimeout()); !ok {
			invalid(".perTryTimeout", "the timeout is negative or no duration")
			return nil
		}
	}
	if p.GetBackoff() != nil {
		if out.BackOff, ok = duration(p.GetBackoff()); !ok || out.BackOff == 0 {
			invalid(".backoff", "the interval is not above 0")
			return nil
		}
	}
	if ignore := p.GetRetryIgnorePreviousHosts(); ignore != nil {
		out.AvoidPreviousHosts = ignore.GetValue()
	}
	out.RemoteLocalities = p.GetRetryRemoteLocalities().GetValue()
	return out
}

// conditions takes a retryOn apart into Envoy's conditions and status codes, or gives the first
// part that is neither.
func conditions(retryOn string) (on []string, codes []uint32, unknown string) {
	for part := range strings.SplitSeq(retryOn, ",") {
		part = strings.TrimSpace(part)
		switch n, err := strconv.ParseUint(part, 10, 32); {
		case part == "":
		case err == nil && n >= 100 && n <= 599:
			codes = append(codes, uint32(n))
		case slices.Contains(retryConditions, part):
			on = append(on, part)
		default:
			return nil, nil, part
		}
	}
	if len(codes) > 0 && !slices.Contains(on, retriableStatusCodes) {
		on = append(on, retriableStatusCodes)
	}
	return on, codes, ""
}

func (s *ruleSet) cors(field string, p *networking.CorsPolicy) *ir.CORS {
	if p == nil {
		return nil
	}
	out := &ir.CORS{Methods: p.GetAllowMethods(), Headers: p.GetAllowHeaders(), Expose: p.GetExposeHeaders()}
	//lint:ignore SA1019 users still write it
	for _, o := range p.GetAllowOrigin() {
		out.Origins = append(out.Origins, ir.StringMatch{Kind: ir.MatchExact, Value: o})
	}
	for i, o := range p.GetAllowOrigins() {
		if o.GetMatchType() == nil {
			continue // it allows nobody; elsewhere such a match takes every value
		}
		out.Origins = append(out.Origins, s.stringMatch(field+".allowOrigins["+strconv.Itoa(i)+"]", o))
	}
	s.singleLines(field, slices.Concat(out.Methods, out.Headers, out.Expose)...)
	if p.GetMaxAge() != nil {
		d, ok := duration(p.GetMaxAge())
		if !ok {
			s.invalid(field+".maxAge", "the age is negative or no duration; the rule is left out")
		}
		out.MaxAge = &d
	}
	if c := p.GetAllowCredentials(); c != nil {
		v := c.GetValue()
		out.Credentials = &v
	}
	if u := p.GetUnmatchedPreflights(); u != networking.CorsPolicy_UNSPECIFIED {
		v := u == networking.CorsPolicy_FORWARD
		out.ForwardUnmatched = &v
	}
	return out
}

// singleLines refuses values that no header can have.
func (s *ruleSet) singleLines(field string, values ...string) {
	for _, v := range values {
		if !singleLine(v) {
			s.invalid(field, "a value has a line break or a zero byte; the rule is left out")
		}
	}
}

// fault translates delays and aborts. Without a percentage no request is concerned.
func (s *ruleSet) fault(field string, f *networking.HTTPFaultInjection) *ir.Fault {
	if f == nil {
		return nil
	}
	out := &ir.Fault{}
	s.delay(field+".delay", f.GetDelay(), out)
	s.abort(field+".abort", f.GetAbort(), out)
	if out.DelayShare == 0 && out.AbortShare == 0 {
		return nil
	}
	return out
}

func (s *ruleSet) delay(field string, d *networking.HTTPFaultInjection_Delay, out *ir.Fault) {
	if d == nil || d.GetExponentialDelay() != nil { // the source reports it
		return
	}
	wait, ok := duration(d.GetFixedDelay())
	if !ok || wait == 0 {
		s.invalid(field+".fixedDelay", "the delay is not above 0; the rule is left out")
	}
	percentage := d.GetPercentage()
	//lint:ignore SA1019 users still write it
	if old := d.GetPercent(); percentage == nil && old != 0 {
		percentage = &networking.Percent{Value: float64(old)}
	}
	if out.DelayShare = s.faultShare(field, percentage); out.DelayShare > 0 {
		out.Delay = wait
	}
}

func (s *ruleSet) abort(field string, a *networking.HTTPFaultInjection_Abort, out *ir.Fault) {
	if a == nil {
		return
	}
	var httpStatus uint32
	var grpcStatus *uint32
	switch e := a.GetErrorType().(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		if e.HttpStatus < 200 || e.HttpStatus > 599 {
			s.invalid(field+".httpStatus", "the status is between 200 and 599; the rule is left out")
		}
		httpStatus = uint32(e.HttpStatus)
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		code, ok := grpcCode(e.GrpcStatus)
		if !ok {
			s.invalid(field+".grpcStatus", strconv.Quote(e.GrpcStatus)+" is no gRPC status such as UNAVAILABLE; the rule is left out")
		}
		grpcStatus = &code
	case *networking.HTTPFaultInjection_Abort_Http2Error:
		return // the source reports it
	default:
		s.invalid(field, "the abort has no httpStatus or grpcStatus; the rule is left out")
	}
	if out.AbortShare = s.faultShare(field, a.GetPercentage()); out.AbortShare > 0 {
		out.AbortHTTP, out.AbortGRPC = httpStatus, grpcStatus
	}
}

func (s *ruleSet) faultShare(field string, p *networking.Percent) ir.Fraction {
	if p == nil {
		s.warn(field, model.ReasonInvalid, "there is no percentage, so no request is concerned; write percentage: {value: 100} for all")
		return 0
	}
	return s.share(field+".percentage", p)
}

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// grpcCode reads a status by name or number.
func grpcCode(status string) (uint32, bool) {
	if i := slices.Index(grpcCodes, strings.ToUpper(status)); i >= 0 {
		return uint32(i), true
	}
	n, err := strconv.ParseUint(status, 10, 32)
	return uint32(n), err == nil && n <= math.MaxInt32
}
