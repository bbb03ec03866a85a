package resolve

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// headers translates changes of headers. Envoy lets nobody add or remove the host; setting it
// on a request is what authority says instead.
func (s *ruleSet) headers(field string, h *networking.Headers) (out ir.HeaderOperations, authority string, ok bool) {
	if h == nil {
		return out, "", true
	}
	if out.Request, authority, ok = s.headerOperation(field+".request", h.GetRequest()); !ok {
		return out, "", false
	}
	var host string
	if out.Response, host, ok = s.headerOperation(field+".response", h.GetResponse()); !ok {
		return out, "", false
	}
	if host != "" {
		s.invalid(field+".response.set", "a response has no host; the rule is left out")
		return out, "", false
	}
	return out, authority, true
}

func (s *ruleSet) headerOperation(field string, op *networking.Headers_HeaderOperations) (out ir.HeaderOperation, authority string, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(op.GetSet())) {
		value := op.GetSet()[name]
		if isHost(name) && singleLine(value) {
			authority = value
			continue
		}
		if !s.headerValue(field+".set["+name+"]", name, value) {
			return out, "", false
		}
		out.Set = append(out.Set, ir.Header{Name: name, Value: value})
	}
	for _, name := range slices.Sorted(maps.Keys(op.GetAdd())) {
		value := op.GetAdd()[name]
		if !s.headerValue(field+".add["+name+"]", name, value) {
			return out, "", false
		}
		out.Add = append(out.Add, ir.Header{Name: name, Value: value})
	}
	for _, name := range slices.Sorted(slices.Values(op.GetRemove())) {
		if !s.headerValue(field+".remove["+name+"]", name, "") {
			return out, "", false
		}
		out.Remove = append(out.Remove, name)
	}
	return out, authority, true
}

func isHost(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// headerValue checks what Envoy would refuse the whole route configuration for.
func (s *ruleSet) headerValue(field, name, value string) bool {
	switch {
	case !headerName(name) || strings.HasPrefix(name, ":") || isHost(name):
		s.invalid(field, "this is no name of a header that can be changed; the rule is left out")
	case !singleLine(value):
		s.invalid(field, "the value has a line break or a zero byte; the rule is left out")
	case !formatString(value):
		s.invalid(field, "% starts a command of Envoy such as %REQ(name)%, and this is none; write %% for a percent sign, until then the rule is left out")
	default:
		return true
	}
	return false
}

// command is one command of Envoy's format strings, %NAME%, %NAME(argument)% or with :length.
var command = regexp.MustCompile(`^%([A-Z][A-Z0-9_]*)(\([^)]*\))?(?::(\d{1,9}))?%`)

// formatString tells whether every percent sign of a text starts a command that Envoy knows.
func formatString(text string) bool {
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			return true
		}
		text = text[i:]
		if strings.HasPrefix(text, "%%") {
			text = text[2:]
			continue
		}
		m := command.FindStringSubmatch(text)
		if m == nil {
			return false
		}
		needsArgument, known := formatCommands[m[1]]
		if !known || (m[2] != "") != needsArgument && !optionalArgument[m[1]] {
			return false
		}
		text = text[len(m[0]):]
	}
}

// optionalArgument are commands that go with and without an argument.
var optionalArgument = map[string]bool{"START_TIME": true}

// formatCommands are the commands of Envoy 1.40 that are useful in headers and access logs, and
// whether they take an argument.
var formatCommands = map[string]bool{
	"ACCESS_LOG_TYPE": false, "BYTES_RECEIVED": false, "BYTES_SENT": false, "CONNECTION_ID": false,
	"CONNECTION_TERMINATION_DETAILS": false, "DOWNSTREAM_DETECTED_CLOSE_TYPE": false, "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": false,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": false, "DOWNSTREAM_LOCAL_ADDRESS": false,
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": false, "DOWNSTREAM_LOCAL_PORT": false,
	"DOWNSTREAM_LOCAL_SUBJECT": false, "DOWNSTREAM_LOCAL_URI_SAN": false, "DOWNSTREAM_PEER_CERT": false,
	"DOWNSTREAM_PEER_CERT_V_END": false, "DOWNSTREAM_PEER_CERT_V_START": false, "DOWNSTREAM_PEER_FINGERPRINT_256": false,
	"DOWNSTREAM_PEER_ISSUER": false, "DOWNSTREAM_PEER_SERIAL": false, "DOWNSTREAM_PEER_SUBJECT": false,
	"DOWNSTREAM_PEER_URI_SAN": false, "DOWNSTREAM_REMOTE_ADDRESS": false, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": false,
	"DOWNSTREAM_REMOTE_PORT": false, "DOWNSTREAM_TLS_CIPHER": false, "DOWNSTREAM_TLS_SESSION_ID": false,
	"DOWNSTREAM_TLS_VERSION": false, "DOWNSTREAM_TRANSPORT_FAILURE_REASON": false, "DURATION": false,
	"DYNAMIC_METADATA": true, "ENVIRONMENT": true, "FILTER_CHAIN_NAME": false, "FILTER_STATE": true, "GRPC_STATUS_NUMBER": false,
	"HOSTNAME": false, "METADATA": true, "PROTOCOL": false, "REQ": true, "REQUEST_DURATION": false,
	"REQUEST_HEADERS_BYTES": false, "REQUESTED_SERVER_NAME": false, "RESP": true, "RESPONSE_CODE": false,
	"RESPONSE_CODE_DETAILS": false, "RESPONSE_DURATION": false, "RESPONSE_FLAGS": false, "RESPONSE_FLAGS_LONG": false,
	"RESPONSE_HEADERS_BYTES": false, "RESPONSE_TX_DURATION": false, "ROUTE_NAME": false, "START_TIME": false,
	"STREAM_ID": false, "TRACE_ID": false, "TRAILER": true, "UPSTREAM_CLUSTER": false, "UPSTREAM_CLUSTER_RAW": false,
	"UPSTREAM_HOST": false, "UPSTREAM_LOCAL_ADDRESS": false, "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": false,
	"UPSTREAM_LOCAL_PORT": false, "UPSTREAM_METADATA": true, "UPSTREAM_PEER_SUBJECT": false, "UPSTREAM_PEER_URI_SAN": false,
	"UPSTREAM_PROTOCOL": false, "UPSTREAM_REMOTE_ADDRESS": false, "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": false,
	"UPSTREAM_REMOTE_PORT": false, "UPSTREAM_REQUEST_ATTEMPT_COUNT": false, "UPSTREAM_TRANSPORT_FAILURE_REASON": false,
	"UPSTREAM_WIRE_BYTES_RECEIVED": false, "UPSTREAM_WIRE_BYTES_SENT": false, "VIRTUAL_CLUSTER_NAME": false,
}

// substitution tells whether a rewrite names only groups that its pattern has. The pattern parses.
func substitution(pattern, rewrite string) bool {
	groups := regexp.MustCompile(pattern).NumSubexp()
	for i := 0; i < len(rewrite); i++ {
		if rewrite[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(rewrite):
			return false
		case rewrite[i] == '\\':
		case rewrite[i] < '0' || rewrite[i] > '9' || int(rewrite[i]-'0') > groups:
			return false
		}
	}
	return true
}
