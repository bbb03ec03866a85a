package explain

import (
	"encoding/json"
	"errors"
	"fmt"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// ParseDump reads what is in force from an Envoy's config_dump, with endpoints where the dump was asked for
// with include_eds. Extensions of which this program knows nothing are kept by name only, and fields that it
// does not know are passed over.
func ParseDump(data []byte) (*Config, error) {
	var dump struct {
		Configs []any `json:"configs"`
	}
	if err := json.Unmarshal(data, &dump); err != nil {
		return nil, fmt.Errorf("not a config_dump of Envoy: %w", err)
	}
	if len(dump.Configs) == 0 {
		return nil, errors.New(`not a config_dump of Envoy: it has no "configs"`)
	}
	d := &dumpReader{}
	d.find(dump.Configs)
	if d.err != nil {
		return nil, fmt.Errorf("config_dump: %w", d.err)
	}
	c := NewConfig(d.found)
	c.SecretsKnown, c.dumped = d.secrets, true
	return c, nil
}

// dumpReader collects the resources that stand anywhere in a dump.
type dumpReader struct {
	found   []proto.Message
	secrets bool // the dump has a part for them
	err     error
}

// notInForce are the fields of a dump that hold what is not in force.
var notInForce = map[string]bool{
	"warming_state": true, "warmingState": true, "draining_state": true, "drainingState": true,
	"dynamic_warming_clusters": true, "dynamicWarmingClusters": true,
	"dynamic_warming_secrets": true, "dynamicWarmingSecrets": true, "error_state": true, "errorState": true, "bootstrap": true,
}

// find walks through a dump. A resource is told by its type.
func (d *dumpReader) find(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			d.find(x)
		}
	case map[string]any:
		if name, _ := v["@type"].(string); is(name, &adminv3.SecretsConfigDump{}) {
			d.secrets = true
		}
		if m := resourceOf(v["@type"]); m != nil {
			d.read(v, m)
			return
		}
		for name, x := range v {
			if !notInForce[name] {
				d.find(x)
			}
		}
	}
}

// resourceOf gives an empty message of a resource's type; nil for other types.
func resourceOf(url any) proto.Message {
	name, _ := url.(string)
	for _, m := range []proto.Message{&listenerv3.Listener{}, &routev3.RouteConfiguration{}, &clusterv3.Cluster{}, &endpointv3.ClusterLoadAssignment{}, &tlsv3.Secret{}} {
		if is(name, m) {
			return m
		}
	}
	return nil
}

func (d *dumpReader) read(v map[string]any, m proto.Message) {
	delete(v, "@type")
	text, err := json.Marshal(forgetUnknown(v))
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, m)
	}
	if err != nil {
		d.err = errors.Join(d.err, err)
		return
	}
	d.found = append(d.found, m)
}

// forgetUnknown puts an empty message in the place of every extension whose type is not known here.
func forgetUnknown(v any) any {
	switch v := v.(type) {
	case []any:
		for i, x := range v {
			v[i] = forgetUnknown(x)
		}
	case map[string]any:
		if url, ok := v["@type"].(string); ok {
			if _, err := protoregistry.GlobalTypes.FindMessageByURL(url); errors.Is(err, protoregistry.NotFound) {
				return map[string]any{"@type": "type.googleapis.com/google.protobuf.Empty", "value": map[string]any{}}
			}
		}
		for name, x := range v {
			v[name] = forgetUnknown(x)
		}
	}
	return v
}
