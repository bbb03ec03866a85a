package envoy

import (
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	headermetadata "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const (
	filterPeerMetadata = "envoy.filters.http.header_to_metadata"
	filterPeerHeader   = "envoy.filters.http.header_mutation"
)

func peerMetadata(f ir.PeerMetadata) *headermetadata.Config {
	return &headermetadata.Config{RequestRules: []*headermetadata.Config_Rule{{
		Header:          f.Header,
		OnHeaderPresent: &headermetadata.Config_KeyValuePair{MetadataNamespace: istioMetadata, Key: f.Key},
		Remove:          true,
	}}}
}

func removal(header string) *mutation.HeaderMutation {
	return &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: header}}
}

func peerHeader(f ir.PeerHeader) *headermutation.HeaderMutation {
	set := &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: f.Header, Value: "%ENVIRONMENT(" + f.Variable + ")%"},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}}
	return &headermutation.HeaderMutation{Mutations: &headermutation.Mutations{
		RequestMutations:  []*mutation.HeaderMutation{set, removal(f.Strip)},
		ResponseMutations: []*mutation.HeaderMutation{removal(f.Header), removal(f.Strip)},
	}}
}
