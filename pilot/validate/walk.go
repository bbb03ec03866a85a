package validate

import (
	"strings"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// walk checks what a type means wherever it is used: bounds of values, percentages, matches,
// destinations and header operations.
func (c *checker) walk(path string, m proto.Message) {
	model.Walk(path, m.ProtoReflect(), c.message, func(f model.Fault) { c.fail(f.Field, "%s", f.Reason) })
}

// message checks one message, and tells whether what is in it is to be checked as well. Of what has rules of its own it
// is not: a part of the mesh's configuration that is wrong there refuses itself alone.
func (c *checker) message(path string, m proto.Message) bool {
	switch v := m.(type) {
	case *meshconfig.MeshConfig_ExtensionProvider, *meshconfig.MeshConfig_CertificateData, *meshconfig.LabelSelector:
		return false
	case *networking.StringMatch:
		c.stringMatch(path, v)
	case *networking.Destination:
		c.destination(path, v)
	case *networking.Headers:
		c.headers(path+".request", v.GetRequest(), true)
		c.headers(path+".response", v.GetResponse(), false)
	}
	return true
}

func (c *checker) stringMatch(path string, m *networking.StringMatch) {
	switch t := m.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		if t.Prefix == "" && !strings.HasSuffix(path, ".uri") {
			c.fail(path+".prefix", "is empty; leave out the match, or use regex .* for anything")
		}
	case *networking.StringMatch_Regex:
		if t.Regex == "*" && strings.Contains(path, ".withoutHeaders[") {
			return // Istio's word for any value
		}
		if problem := regexProblem(t.Regex); problem != "" {
			c.fail(path+".regex", "%q %s", t.Regex, problem)
		}
	}
}

func (c *checker) destination(path string, d *networking.Destination) {
	switch host := d.GetHost(); {
	case host == "":
		c.fail(path+".host", "is missing; name a service")
	case host == "*" || !isWildcardHost(host) && !isIP(host):
		c.fail(path+".host", "%q is no hostname; name a service, without port", host)
	}
	if d.GetSubset() != "" {
		c.subsetName(path+".subset", d.GetSubset())
	}
}

// subsetName checks a subset's name, which becomes part of a cluster's name and of an SNI.
func (c *checker) subsetName(path, name string) {
	if len(validation.IsDNS1123Label(strings.ToLower(name))) > 0 {
		c.fail(path, "%q is no name of a subset; use letters, digits and dashes", name)
	}
}

func (c *checker) port(path string, n uint32) {
	if !isPort(int64(n)) {
		c.fail(path, "%d is no port; use 1 to 65535", n)
	}
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, ":authority") || strings.EqualFold(name, "host")
}

// headers checks operations on headers. Only set may name the authority, and only of a request.
func (c *checker) headers(path string, ops *networking.Headers_HeaderOperations, request bool) {
	check := func(field, name string, authority bool) {
		switch {
		case authority && isAuthority(name):
		case strings.HasPrefix(name, ":") || strings.EqualFold(name, "host"):
			c.fail(field, "%q cannot be changed by this operation; use headers.request.set or rewrite.authority", name)
		case name == "":
			c.fail(field, "has an empty name")
		case !isHeaderName(name):
			c.warn(field, "%q is no name of a header, so it is left alone", name)
		}
	}
	for op, values := range map[string]map[string]string{"set": ops.GetSet(), "add": ops.GetAdd()} {
		for _, name := range sortedKeys(values) {
			field := entry(path+"."+op, name)
			check(field, name, request)
			if problem := headerValueProblem(values[name]); problem != "" {
				c.fail(field, "%s", problem)
			}
		}
	}
	for i, name := range ops.GetRemove() {
		check(at(path+".remove", i), name, false)
	}
}
