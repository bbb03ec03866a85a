package validate

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// kubernetesIngress checks an Ingress as an API server does. What the mesh makes nothing of is told of those that it
// serves, which the store knows.
func (c *checker) kubernetesIngress(in *networkingv1.Ingress) {
	for i, t := range in.Spec.TLS {
		path := at("spec.tls", i)
		if t.SecretName != "" && len(validation.IsDNS1123Subdomain(t.SecretName)) > 0 {
			c.fail(path+".secretName", "%q is no name of a Secret", t.SecretName)
		}
		for j, host := range t.Hosts {
			if !isWildcardHost(host) {
				c.fail(at(path+".hosts", j), "%q is no host; use a name or a wildcard such as *.example.com", host)
			}
		}
	}
	for i, rule := range in.Spec.Rules {
		path := at("spec.rules", i)
		if rule.Host != "" && (rule.Host == "*" || !isWildcardHost(rule.Host)) {
			c.fail(path+".host", "%q is no host; use a name or a wildcard such as *.example.com", rule.Host)
		}
		if rule.HTTP == nil {
			continue
		}
		for j, p := range rule.HTTP.Paths {
			c.ingressPath(at(path+".http.paths", j), p)
		}
	}
}

func (c *checker) ingressPath(path string, p networkingv1.HTTPIngressPath) {
	types := []networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific}
	switch {
	case p.PathType == nil:
		c.missing(path + ".pathType")
		return
	case !slices.Contains(types, *p.PathType):
		c.fail(path+".pathType", "%q is none; use Exact, Prefix or ImplementationSpecific", *p.PathType)
		return
	}
	if specific := *p.PathType == networkingv1.PathTypeImplementationSpecific; !strings.HasPrefix(p.Path, "/") && !(specific && p.Path == "") {
		c.fail(path+".path", "%q does not begin with a slash", p.Path)
	}
	if len(p.Path) > maxIngressPath || strings.ContainsFunc(p.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		c.fail(path+".path", "has more than %d bytes, or a space or control character", maxIngressPath)
	}
	to := p.Backend.Service
	switch {
	case to == nil: // a resource, of which the store tells
	case len(validation.IsDNS1035Label(to.Name)) > 0:
		c.fail(path+".backend.service.name", "%q is no name of a Service", to.Name)
	case (to.Port.Name == "") == (to.Port.Number == 0):
		c.fail(path+".backend.service.port", "needs a name or a number; set one")
	case to.Port.Name == "" && (to.Port.Number < 0 || to.Port.Number > 65535):
		c.fail(path+".backend.service.port.number", "%s is no port; use 1 to 65535", fmt.Sprint(to.Port.Number))
	}
}

// maxIngressPath bounds a path in bytes.
const maxIngressPath = 4096
