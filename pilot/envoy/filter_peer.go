package envoy

import (
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	setfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	httpfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	earlymutation "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const (
	filterHeaderMutation = "envoy.filters.http.header_mutation"
	earlyHeaderRemoval   = "envoy.http.early_header_mutation.header_mutation"
)

// peerState copies a text once. Dynamic metadata would be copied as messages, again for each log that names them.
func peerState(f ir.PeerState) *httpfilterstate.Config {
	return &httpfilterstate.Config{OnRequestHeaders: []*setfilterstate.FilterStateValue{{
		Key:        &setfilterstate.FilterStateValue_ObjectKey{ObjectKey: f.Key},
		FactoryKey: "envoy.string",
		Value: &setfilterstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
			OmitEmptyValues: true,
			Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: f.Format},
			}},
		}},
		SkipIfEmpty: true,
	}}}
}

func removal(header string) *mutation.HeaderMutation {
	return &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: header}}
}

func removals(headers []string) []*mutation.HeaderMutation {
	out := make([]*mutation.HeaderMutation, len(headers))
	for i, header := range headers {
		out[i] = removal(header)
	}
	return out
}

// earlyRemoval takes headers out before Envoy makes a request's filters, for less than a filter costs.
func earlyRemoval(headers []string) []*core.TypedExtensionConfig {
	if len(headers) == 0 {
		return nil
	}
	return []*core.TypedExtensionConfig{{
		Name: earlyHeaderRemoval, TypedConfig: Any(&earlymutation.HeaderMutation{Mutations: removals(headers)}),
	}}
}

func peerHeaders(f ir.PeerHeaders) *headermutation.HeaderMutation {
	out := &headermutation.Mutations{}
	for _, s := range f.Set { // without the variable, the header of the application would stay
		out.RequestMutations = append(out.RequestMutations, removal(s.Header), &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: s.Header, Value: "%ENVIRONMENT(" + s.Variable + ")%"},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}})
		out.ResponseMutations = append(out.ResponseMutations, removal(s.Header))
	}
	for _, header := range f.Strip {
		out.RequestMutations = append(out.RequestMutations, removal(header))
		out.ResponseMutations = append(out.ResponseMutations, removal(header))
	}
	return &headermutation.HeaderMutation{Mutations: out}
}
