package resolve

import (
	"regexp"
	"slices"
	"strings"
)

// command is one command of Envoy's format strings: %NAME%, %NAME(argument)% or with :length.
var command = regexp.MustCompile(`^%([A-Z][A-Z0-9_]*)(?:\(([^)]+)\))?(:\d{1,9})?%`)

// formatString tells whether every percent sign of a text starts a command that Envoy takes. One
// that it does not take would cost the whole route configuration or listener.
func formatString(text string) bool {
	for i := strings.IndexByte(text, '%'); i >= 0; i = strings.IndexByte(text, '%') {
		text = text[i:]
		if strings.HasPrefix(text, "%%") {
			text = text[2:]
			continue
		}
		m := command.FindStringSubmatch(text)
		if m == nil || !formatCommand(m[1], m[2], m[3] != "") {
			return false
		}
		text = text[len(m[0]):]
	}
	return true
}

func formatCommand(name, argument string, length bool) bool {
	if slices.Contains(plainCommands, name) {
		return argument == "" && !length
	}
	if name == "START_TIME" && timeNewline.MatchString(argument) {
		return false
	}
	if pattern := optionalArguments[name]; pattern != nil {
		return !length && (argument == "" || pattern.MatchString(argument))
	}
	pattern := arguments[name]
	return pattern != nil && pattern.MatchString(argument)
}

var headerArgument = regexp.MustCompile(`^:?[A-Za-z0-9_-]+(\?:?[A-Za-z0-9_-]+)?$`)

// arguments holds the commands that need an argument, with its form, and take a length.
var arguments = map[string]*regexp.Regexp{
	"REQ": headerArgument, "RESP": headerArgument, "TRAILER": headerArgument,
	"ENVIRONMENT":       regexp.MustCompile(`^\w+$`),
	"DYNAMIC_METADATA":  regexp.MustCompile(`^[^:]+(:[^:]+)*$`),
	"UPSTREAM_METADATA": regexp.MustCompile(`^[^:]+(:[^:]+)*$`),
	"FILTER_STATE":      regexp.MustCompile(`^[^:]+(:PLAIN|:TYPED|:FIELD:[^:]+)?$`),
	"METADATA":          regexp.MustCompile(`^(DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|LISTENER_FILTER_CHAIN|VIRTUAL_HOST)(:[^:]+)+$`),
}

// optionalArguments holds the commands that go with and without an argument, but not with a length.
var optionalArguments = map[string]*regexp.Regexp{
	"START_TIME":            regexp.MustCompile(`^[^()]*$`),
	"RESPONSE_CODE_DETAILS": regexp.MustCompile(`^ALLOW_WHITESPACES$`),
	"GRPC_STATUS":           regexp.MustCompile(`^(CAMEL_STRING|SNAKE_STRING|NUMBER)$`),
}

// timeNewline is what strftime makes a line break of, which Envoy refuses, with the listener or routes that hold it
// (SystemTimeFormatter in Envoy's substitution_formatter).
var timeNewline = regexp.MustCompile(`%[-_0^#]*[0-9]*[EO]?n`)

// plainCommands are the other ones of Envoy 1.40 that say something in a header or access log.
var plainCommands = []string{
	"ACCESS_LOG_TYPE", "BYTES_RECEIVED", "BYTES_SENT", "CONNECTION_ID", "CONNECTION_TERMINATION_DETAILS",
	"DOWNSTREAM_DETECTED_CLOSE_TYPE", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_ADDRESS",
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_PORT", "DOWNSTREAM_LOCAL_SUBJECT",
	"DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_PEER_CERT", "DOWNSTREAM_PEER_CERT_V_END",
	"DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_FINGERPRINT_256", "DOWNSTREAM_PEER_ISSUER",
	"DOWNSTREAM_PEER_SERIAL", "DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_URI_SAN",
	"DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_REMOTE_PORT",
	"DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_TLS_VERSION",
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DURATION", "FILTER_CHAIN_NAME", "GRPC_STATUS_NUMBER", "HOSTNAME",
	"PROTOCOL", "REQUESTED_SERVER_NAME", "REQUEST_DURATION", "REQUEST_HEADERS_BYTES", "RESPONSE_CODE",
	"RESPONSE_DURATION", "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "RESPONSE_HEADERS_BYTES",
	"RESPONSE_TX_DURATION", "ROUTE_NAME", "STREAM_ID", "TRACE_ID", "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW",
	"UPSTREAM_HOST", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "UPSTREAM_LOCAL_PORT",
	"UPSTREAM_PEER_SUBJECT", "UPSTREAM_PEER_URI_SAN", "UPSTREAM_PROTOCOL", "UPSTREAM_REMOTE_ADDRESS",
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "UPSTREAM_REMOTE_PORT", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
	"UPSTREAM_TRANSPORT_FAILURE_REASON", "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_WIRE_BYTES_SENT",
	"VIRTUAL_CLUSTER_NAME",
}
