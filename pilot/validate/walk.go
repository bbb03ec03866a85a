package validate

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// walk checks what a type means wherever it is used: bounds of values, percentages, matches,
// destinations and header operations.
func (c *checker) walk(path string, m protoreflect.Message) {
	c.value(path, m.Interface())
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		field := fd.JSONName()
		if path != "" {
			field = path + "." + field
		}
		v := m.Get(fd)
		switch {
		case !m.Has(fd):
			if !fd.HasPresence() && !fd.IsList() && !fd.IsMap() {
				c.bound(field, fd, v) // zero, which not every field may be
			}
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				c.bound(field, fd.MapKey(), k.Value())
				c.field(entry(field, k.String()), fd.MapValue(), v)
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				c.field(at(field, i), fd, v.List().Get(i))
			}
		default:
			c.field(field, fd, v)
		}
	}
}

// field checks one value of a field.
func (c *checker) field(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch d := fd.Message(); {
	case d == nil || d.FullName() == "google.protobuf.Duration":
		c.bound(path, fd, v)
	case d.FullName().Parent() != "google.protobuf":
		c.walk(path, v.Message())
	case d.Fields().Len() == 1 && d.Fields().ByName("value") != nil: // a wrapper, whose bound is the field's own
		inner := d.Fields().ByName("value")
		c.scalar(path, inner, model.BoundOf(fd), v.Message().Get(inner))
	}
}

func (c *checker) value(path string, m proto.Message) {
	switch v := m.(type) {
	case *networking.StringMatch:
		c.stringMatch(path, v)
	case *networking.Destination:
		c.destination(path, v)
	case *networking.Headers:
		c.headers(path+".request", v.GetRequest(), true)
		c.headers(path+".response", v.GetResponse(), false)
	}
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
