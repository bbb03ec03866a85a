package model

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Fault is what is wrong with a part of an object.
type Fault struct{ Field, Reason string }

// ProviderFaults gives what is wrong with an extension provider, which is not used until it is right. Fields begin with
// the provider's kind.
func ProviderFaults(p *meshconfig.MeshConfig_ExtensionProvider) []Fault {
	c := &faults{all: Faults(p)}
	c.externalAuthorization(p)
	c.collector(p)
	return c.all
}

// externalAuthorization checks a provider of external authorization.
func (c *faults) externalAuthorization(p *meshconfig.MeshConfig_ExtensionProvider) {
	if h := p.GetEnvoyExtAuthzHttp(); h != nil {
		c.at = "envoyExtAuthzHttp."
		c.service(h.GetService())
		c.statusOnError(h.GetStatusOnError())
		if prefix := h.GetPathPrefix(); prefix != "" && (!strings.HasPrefix(prefix, "/") || strings.ContainsFunc(prefix, notInPath)) {
			c.fail("pathPrefix", fmt.Sprintf("%q is no path that begins with /", prefix))
		}
		c.body(h.GetIncludeRequestBodyInCheck())
		c.headers("includeRequestHeadersInCheck", h.GetIncludeRequestHeadersInCheck())
		//lint:ignore SA1019 users still write it
		c.headers("includeHeadersInCheck", h.GetIncludeHeadersInCheck())
		c.headers("headersToUpstreamOnAllow", h.GetHeadersToUpstreamOnAllow())
		c.headers("headersToDownstreamOnDeny", h.GetHeadersToDownstreamOnDeny())
		c.headers("headersToDownstreamOnAllow", h.GetHeadersToDownstreamOnAllow())
		added := h.GetIncludeAdditionalHeadersInCheck()
		for _, name := range slices.Sorted(maps.Keys(added)) {
			if !headerToken(name) {
				c.fail("includeAdditionalHeadersInCheck", fmt.Sprintf("%q is no header", name))
			}
		}
	}
	if g := p.GetEnvoyExtAuthzGrpc(); g != nil {
		c.at = "envoyExtAuthzGrpc."
		c.service(g.GetService())
		c.statusOnError(g.GetStatusOnError())
		c.body(g.GetIncludeRequestBodyInCheck())
	}
}

// faults gathers those of a provider.
type faults struct {
	at  string
	all []Fault
}

func (c *faults) fail(field, reason string) { c.all = append(c.all, Fault{c.at + field, reason}) }

// service checks where a provider is: NAMESPACE/HOST or HOST.
func (c *faults) service(service string) {
	if _, host := ProviderService(service); host == "" || strings.ContainsAny(host, "/*") {
		c.fail("service", fmt.Sprintf("%q is no service; write HOST or NAMESPACE/HOST", service))
	}
}

func (c *faults) statusOnError(status string) {
	if _, ok := StatusOnError(status); !ok {
		c.fail("statusOnError", fmt.Sprintf("%q is no status code that Envoy answers with", status))
	}
}

func (c *faults) body(b *meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationRequestBody) {
	if b != nil && b.GetMaxRequestBytes() == 0 {
		c.fail("includeRequestBodyInCheck.maxRequestBytes", "is missing")
	}
}

// headers checks patterns for names of headers: exact, prefix*, *suffix, or *.
func (c *faults) headers(field string, patterns []string) {
	for i, p := range patterns {
		name := strings.TrimSuffix(p, "*")
		if name == p {
			name = strings.TrimPrefix(p, "*")
		}
		if p != "*" && !headerToken(name) {
			c.fail(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%q is no header's name, prefix* or *suffix", p))
		}
	}
}

// ProviderService divides the service of a provider, as NAMESPACE/HOST or HOST.
func ProviderService(service string) (namespace, host string) {
	namespace, host, ok := strings.Cut(service, "/")
	if !ok {
		return "", service
	}
	if namespace == "" {
		return "", ""
	}
	return namespace, host
}

// StatusOnError reads a status code, which has to be one of envoy.type.v3.StatusCode; 0 for none.
func StatusOnError(text string) (uint32, bool) {
	if text == "" {
		return 0, true
	}
	code, err := strconv.Atoi(text)
	switch {
	case err != nil || http.StatusText(code) == "":
		return 0, false
	case slices.Contains([]int{101, 102, 103, 418, 425, 451}, code): // are not in Envoy's list
		return 0, false
	}
	return uint32(code), true
}

// headerToken tells whether a text is the name of a header (RFC 9110, section 5.1).
func headerToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func notInPath(r rune) bool { return r <= ' ' || r >= 0x7f || r == '?' || r == '#' }
