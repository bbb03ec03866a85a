package model

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
)

// fields visits all fields of a message and of what may be in it.
func fields(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]protoreflect.FieldDescriptor) {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if seen[fd.FullName()] != nil {
			continue
		}
		seen[fd.FullName()] = fd
		if fd.Message() != nil {
			fields(fd.Message(), seen)
		}
	}
}

// A bound of a field that there is not would bound nothing.
func TestBoundsNameFields(t *testing.T) {
	seen := map[protoreflect.FullName]protoreflect.FieldDescriptor{}
	for _, m := range []proto.Message{
		&networking.VirtualService{}, &networking.DestinationRule{}, &networking.Gateway{}, &networking.Sidecar{},
		&networking.ServiceEntry{}, &networking.WorkloadEntry{}, &networking.WorkloadGroup{}, &networking.EnvoyFilter{}, &security.PeerAuthentication{}, &meshconfig.MeshConfig{}, &meshconfig.MeshNetworks{},
	} {
		fields(m.ProtoReflect().Descriptor(), seen)
	}
	for name, b := range bounds {
		fd := seen[name]
		if fd == nil {
			t.Errorf("%s is no field", name)
			continue
		}
		text := fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind
		if text != (b.Bytes > 0) || text == (b.Max > 0) {
			t.Errorf("%s: %+v does not bound a %v", name, b, fd.Kind())
		}
	}
	for name, fd := range seen {
		if fd.Message() != nil && fd.Message().FullName() == duration {
			if b := BoundOf(fd); b.Max <= 0 || b.Max > int64(MaxDuration) {
				t.Errorf("%s has no bound: %+v", name, b)
			}
		}
		if port := strings.HasSuffix(string(fd.Name()), "port"); port && fd.Kind() == protoreflect.Uint32Kind && BoundOf(fd).Max != 65535 {
			t.Errorf("%s is no port: %+v", name, BoundOf(fd))
		}
	}
}

func TestBoundOfDurations(t *testing.T) {
	b := Bound{Min: int64(time.Millisecond), Max: int64(time.Hour), Step: time.Millisecond}
	for _, c := range []struct {
		d  *durationpb.Duration
		ok bool
	}{
		{&durationpb.Duration{Seconds: 1}, true},
		{&durationpb.Duration{Nanos: 1_000_000}, true},
		{&durationpb.Duration{Seconds: 3600}, true},
		{&durationpb.Duration{Nanos: 999_999}, false},
		{&durationpb.Duration{Nanos: 1_000_001}, false},
		{&durationpb.Duration{Seconds: 3600, Nanos: 1_000_000}, false},
		{&durationpb.Duration{Seconds: math.MaxInt64}, false},
		{&durationpb.Duration{Seconds: math.MinInt64}, false},
		{&durationpb.Duration{Seconds: 1, Nanos: -1}, false},
		{&durationpb.Duration{Nanos: 2_000_000_000}, false},
		{nil, false},
	} {
		if v, ok := b.Duration(c.d); ok != c.ok {
			t.Errorf("%v: %v, %v", c.d, v, ok)
		}
	}
}
