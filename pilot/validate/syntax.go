package validate

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxHost is the longest hostname that DNS knows, in bytes.
const maxHost = 253

// isHost tells whether a text is a hostname, short or full. Underscores are allowed within, as
// DNS has them.
func isHost(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if len(label) > 63 || len(validation.IsDNS1123Label(strings.ToLower(strings.ReplaceAll(label, "_", "a")))) > 0 {
			return false
		}
	}
	return true
}

// isWildcardHost tells whether a text is a hostname, "*" or "*." and a hostname.
func isWildcardHost(host string) bool {
	if host == "*" {
		return true
	}
	return isHost(strings.TrimPrefix(host, "*."))
}

func isIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func isSubnet(text string) bool {
	if isIP(text) {
		return true
	}
	_, err := netip.ParsePrefix(text)
	return err == nil
}

func isPort(n int64) bool { return n >= 1 && n <= 65535 }

// coversHost tells whether every name of host is one of pattern, either possibly a wildcard.
func coversHost(pattern, host string) bool {
	return model.HostCovers(model.CanonicalHost(pattern), model.CanonicalHost(host))
}

// isHeaderName tells whether a text is a field name of HTTP (RFC 9110, section 5.6.2).
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isPseudoHeader tells whether a name is one that HTTP/2 gives to a part of the request line.
func isPseudoHeader(name string) bool {
	switch name {
	case ":authority", ":method", ":path", ":scheme", ":status":
		return true
	}
	return false
}

// headerValueProblem tells why Envoy would refuse a header value, "" if it would not: a percent
// sign begins a command such as %DOWNSTREAM_REMOTE_ADDRESS%, or is doubled.
func headerValueProblem(value string) string {
	if strings.ContainsAny(value, "\x00\r\n") {
		return "contains a line break or a zero byte"
	}
	for rest := value; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return ""
		}
		if plain, ok := strings.CutPrefix(after, "%"); ok {
			rest = plain
			continue
		}
		size := commandSize(after)
		if size == 0 {
			return "contains a percent sign that begins no command; write %% for the sign itself"
		}
		rest = after[size:]
	}
}

// commandSize gives the length of a command and its closing percent sign, 0 for none.
func commandSize(text string) int {
	i := strings.IndexFunc(text, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') })
	if i <= 0 {
		return 0
	}
	if text[i] == '(' {
		closing := strings.IndexByte(text[i:], ')')
		if closing < 0 {
			return 0
		}
		i += closing + 1
	}
	if i < len(text) && text[i] == ':' {
		i++
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
	}
	if i >= len(text) || text[i] != '%' {
		return 0
	}
	return i + 1
}

// maxRegex bounds regular expressions, in bytes; Envoy matches them on every request.
const maxRegex = 1024

// regexProblem tells why a text is no regular expression of RE2, "" if it is one.
func regexProblem(text string) string {
	switch {
	case text == "":
		return "is an empty regular expression; write one, or .* for anything"
	case len(text) > maxRegex:
		return "is a regular expression of more than 1024 bytes; shorten it"
	}
	if _, err := regexp.Compile(text); err != nil {
		return "is no regular expression of RE2 (" + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + ")"
	}
	return ""
}
