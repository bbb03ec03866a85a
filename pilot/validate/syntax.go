package validate

import (
	"maps"
	"net"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
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

// isHostPattern tells whether a text is a host that rules may be about: a hostname, or a wildcard, in which more of the
// first label may follow the star, as in *-dev.example.com.
func isHostPattern(host string) bool {
	rest, wild := strings.CutPrefix(host, "*")
	return isWildcardHost(host) || wild && isHost("x"+rest)
}

// partialWildcard tells whether more of the first label follows the star of a wildcard.
func partialWildcard(host string) bool {
	return strings.HasPrefix(host, "*") && host != "*" && !strings.HasPrefix(host, "*.")
}

// isIP tells whether a text is an IP address. One with a zone, which names an interface of one
// machine, is none that Envoy takes.
func isIP(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Zone() == ""
}

func isSubnet(text string) bool { return addressBlock(text) == nil }

// isEveryAddress tells whether an IP address or a subnet stands for all addresses of its family.
func isEveryAddress(text string) bool {
	subnet, err := model.ParseAddressBlock(text)
	return err == nil && (subnet.Bits() == 0 || subnet.IsSingleIP() && subnet.Addr().IsUnspecified())
}

// isHostPort tells whether a text is a hostname or an address, a colon and a port.
func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && isPortText(port) && (isHost(host) || isIP(host))
}

// isPortText tells whether a text is a port in digits, without a sign.
func isPortText(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func isPort(n int64) bool { return n >= 1 && n <= 65535 }

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

// maxProgram bounds the program of a regular expression, in instructions of RE2. Proxies refuse
// more than 32768 (re2.max_program_size.error_level of their bootstrap); programSize may be too
// low by a few for each operator.
const maxProgram = 16384

// regexProblem tells why a text is no regular expression of RE2 that Envoy takes, "" if it is one.
func regexProblem(text string) string {
	if text == "" {
		return "is an empty regular expression; write one, or .* for anything"
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err == nil {
		_, err = regexp.Compile(text)
	}
	switch {
	case err != nil:
		return "is no regular expression of RE2 (" + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + ")"
	case model.ForeignEscape(text, 0xff) != "": // routes are matched byte by byte
		return "has " + model.ForeignEscape(text, 0xff) + `, which Envoy does not know; it has classes such as \pL and \p{Greek}, and letters by number up to \xff`
	case programSize(parsed) > maxProgram:
		return "is a regular expression that repeats too much; Envoy would need too long for it"
	}
	return ""
}

// programSize estimates from above how many instructions RE2 makes of an expression over bytes.
func programSize(re *syntax.Regexp) int {
	size := 2
	switch re.Op {
	case syntax.OpLiteral:
		size += 4 * len(re.Rune) // of UTF-8, and of both cases
	case syntax.OpCharClass:
		size += len(re.Rune) / 2
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] > 0xff && i >= 256 {
				size = 2 + i/2 // ranges past the first bytes share their programs
				break
			}
		}
	}
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, 1<<30)
}
