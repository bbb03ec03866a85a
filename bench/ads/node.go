package ads

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Fields of envoy.config.core.v3.Node and of its Locality.
const (
	nodeID, nodeCluster, nodeMetadata, nodeLocality, nodeUserAgent = 1, 2, 3, 4, 6
	localityRegion, localityZone                                   = 1, 2
)

// Envoy is what a proxy tells of itself; Metadata is a marshalled Struct.
type Envoy struct {
	ID, Cluster, Region, Zone, UserAgent string
	Metadata                             []byte
}

// Marshal gives the core.v3.Node.
func (e *Envoy) Marshal() []byte {
	b := appendString(appendString(nil, nodeID, e.ID), nodeCluster, e.Cluster)
	b = appendBytes(b, nodeMetadata, e.Metadata)
	b = appendBytes(b, nodeLocality, appendString(appendString(nil, localityRegion, e.Region), localityZone, e.Zone))
	return appendString(b, nodeUserAgent, e.UserAgent)
}

// NamespaceOf reads the namespace in a marshalled core.v3.Node.
func NamespaceOf(node []byte) (string, error) {
	metadata := &structpb.Struct{}
	err := within(node, func(b []byte) error { return proto.Unmarshal(b, metadata) }, nodeMetadata)
	return metadata.GetFields()["NAMESPACE"].GetStringValue(), err
}
