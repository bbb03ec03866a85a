package validate

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// walk checks what a type means wherever it is used: durations, percentages, matches,
// destinations, ports and header operations.
func (c *checker) walk(path string, m protoreflect.Message) {
	c.value(path, m.Interface())
	join := func(fd protoreflect.FieldDescriptor) string {
		if path == "" {
			return fd.JSONName()
		}
		return path + "." + fd.JSONName()
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		field := join(fd)
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
					c.walk(entry(field, k.String()), v.Message())
					return true
				})
			}
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				c.walk(at(field, i), v.List().Get(i).Message())
			}
		default:
			c.walk(field, v.Message())
		}
		return true
	})
}

func (c *checker) value(path string, m proto.Message) {
	switch v := m.(type) {
	case *durationpb.Duration:
		c.duration(path, v)
	case *networking.Percent:
		if !(v.GetValue() >= 0 && v.GetValue() <= 100) { // also catches NaN
			c.fail(path+".value", "%v is no percentage; use 0 to 100", v.GetValue())
		}
	case *networking.StringMatch:
		c.stringMatch(path, v)
	case *networking.Destination:
		c.destination(path, v)
	case *networking.PortSelector:
		c.port(path+".number", v.GetNumber())
	case *networking.Headers:
		c.headers(path+".request", v.GetRequest(), true)
		c.headers(path+".response", v.GetResponse(), false)
	}
}

func (c *checker) duration(path string, d *durationpb.Duration) {
	if err := d.CheckValid(); err != nil {
		c.fail(path, "is no duration; use for example 1.5s")
		return
	}
	if d.AsDuration() < 0 || d.GetSeconds() > math.MaxInt64/int64(time.Second) {
		c.fail(path, "%v is out of range; use zero or more, up to 292 years", d.AsDuration())
	}
}

func (c *checker) stringMatch(path string, m *networking.StringMatch) {
	switch t := m.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		if t.Prefix == "" && !strings.HasSuffix(path, ".uri") {
			c.fail(path+".prefix", "is empty; leave out the match, or use regex .* for anything")
		}
	case *networking.StringMatch_Regex:
		if problem := regexProblem(t.Regex); problem != "" {
			c.fail(path+".regex", "%q %s", t.Regex, problem)
		}
	}
}

func (c *checker) destination(path string, d *networking.Destination) {
	switch host := d.GetHost(); {
	case host == "":
		c.fail(path+".host", "is missing; name a service")
	case !isHost(host) && !isIP(host):
		c.fail(path+".host", "%q is no hostname; name a service, without wildcard and port", host)
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

// headers checks operations on headers. Only set may name the authority, and only of a request.
func (c *checker) headers(path string, ops *networking.Headers_HeaderOperations, request bool) {
	check := func(field, name string, authority bool) {
		switch {
		case authority && (strings.EqualFold(name, ":authority") || strings.EqualFold(name, "host")):
		case strings.HasPrefix(name, ":") || strings.EqualFold(name, "host"):
			c.fail(field, "%q cannot be changed by this operation; use headers.request.set or rewrite.authority", name)
		case !isHeaderName(name):
			c.fail(field, "%q is no name of a header", name)
		}
	}
	for op, values := range map[string]map[string]string{"set": ops.GetSet(), "add": ops.GetAdd()} {
		for _, name := range sortedKeys(values) {
			field := entry(path+"."+op, name)
			check(field, name, request && op == "set")
			if problem := headerValueProblem(values[name]); problem != "" {
				c.fail(field, "%s", problem)
			}
		}
	}
	for i, name := range ops.GetRemove() {
		check(at(path+".remove", i), name, false)
	}
}
