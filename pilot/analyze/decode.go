package analyze

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// decoder decodes each resource once, however many proxies of however many translations have it: resources that are
// alike are one message, so that to compare them is to compare pointers. Nobody changes a message.
type decoder map[resourceKey]proto.Message

// resourceKey names a resource that was decoded. The version is a hash of its bytes.
type resourceKey struct {
	of            resource.Type
	name, version string
}

// resources gives all resources of a result.
func (d decoder) resources(made build.Result) ([]proto.Message, error) {
	out := []proto.Message{}
	for t := range resource.NumTypes {
		for r := range made.Sets[t].All() {
			key := resourceKey{t, r.Name, r.Version}
			if d[key] == nil {
				message, err := r.Message()
				if err != nil {
					return nil, fmt.Errorf("resource %s: %w", r.Name, err)
				}
				d[key] = message
			}
			out = append(out, d[key])
		}
	}
	return out, nil
}
