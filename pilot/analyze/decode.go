package analyze

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// decoder decodes each resource once, however many proxies of however many translations have it: resources that are
// alike are one message, so that to compare them is to compare pointers. Nobody changes a message.
type decoder struct {
	done  map[*resource.Resource]proto.Message
	alike map[resourceKey]proto.Message
}

// resourceKey names a resource. The version is a hash of its bytes.
type resourceKey struct {
	of            resource.Type
	name, version string
}

func newDecoder() *decoder {
	return &decoder{done: map[*resource.Resource]proto.Message{}, alike: map[resourceKey]proto.Message{}}
}

// resources gives all resources of a result.
func (d *decoder) resources(made build.Result) ([]proto.Message, error) {
	out := []proto.Message{}
	for t := range resource.NumTypes {
		for r := range made.Sets[t].All() {
			m, err := d.message(t, r)
			if err != nil {
				return nil, fmt.Errorf("resource %s: %w", r.Name, err)
			}
			out = append(out, m)
		}
	}
	return out, nil
}

func (d *decoder) message(t resource.Type, r *resource.Resource) (proto.Message, error) {
	if m := d.done[r]; m != nil {
		return m, nil
	}
	key := resourceKey{t, r.Name, r.Version}
	m := d.alike[key]
	if m == nil {
		var err error
		if m, err = r.Message(); err != nil {
			return nil, err
		}
		d.alike[key] = m
	}
	d.done[r] = m
	return m, nil
}
