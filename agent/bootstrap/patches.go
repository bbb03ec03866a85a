package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// NodeOf gives the node of a bootstrap in JSON, as the control plane is told of it.
func NodeOf(start []byte) (*node.Node, error) {
	var b struct {
		Node struct {
			ID, Cluster string
			Metadata    object
			Locality    struct {
				Region, Zone string
				SubZone      string `json:"sub_zone"`
			}
		}
	}
	if err := json.Unmarshal(start, &b); err != nil {
		return nil, fmt.Errorf("bootstrap: node: %w", err)
	}
	metadata, err := structpb.NewStruct(b.Node.Metadata)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: node.metadata: %w", err)
	}
	place := b.Node.Locality
	return &node.Node{
		Id: b.Node.ID, Cluster: b.Node.Cluster, Metadata: metadata,
		Locality: &node.Locality{Region: place.Region, Zone: place.Zone, SubZone: place.SubZone},
	}, nil
}

// Over puts patches, JSON, over what a user's override says, YAML, in one text for Envoy, which takes one: objects
// are merged, lists are joined, and of two other values that of the patches counts.
func Over(override, patches string) (string, error) {
	if override == "" {
		return patches, nil
	}
	base, top := object{}, object{}
	if err := yaml.Unmarshal([]byte(override), &base); err != nil {
		return "", fmt.Errorf("ISTIO_BOOTSTRAP_OVERRIDE: %w", err)
	}
	if err := json.Unmarshal([]byte(patches), &top); err != nil {
		return "", fmt.Errorf("patches of the bootstrap: %w", err)
	}
	merged, err := json.Marshal(merge(base, top))
	return string(merged), err
}

// merge merges JSON values. An object with a type (Any) is one value.
func merge(base, top any) any {
	switch value := top.(type) {
	case object:
		into, ok := base.(object)
		if !ok || value["@type"] != nil {
			return value
		}
		for name, v := range value {
			if camel := jsonName(name); into[name] == nil && into[camel] != nil {
				name = camel // of two spellings of a field Envoy would read one
			}
			into[name] = merge(into[name], v)
		}
		return into
	case list:
		if before, ok := base.(list); ok {
			return append(before, value...)
		}
	}
	return top
}

// jsonName gives the other spelling of a field that Envoy reads, as layeredRuntime for layered_runtime.
func jsonName(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
