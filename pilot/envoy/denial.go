package envoy

import (
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// The details of a response by which one tells who denied the request (Envoy's source/extensions/filters: common/rbac
// utility.cc, http/ext_authz ext_authz.cc).
const (
	deniedByRule  = "rbac_access_denied_matched_policy["
	deniedByNone  = deniedByRule + "none]"
	deniedByAsked = "ext_authz_" // denied, error
)

// denials names in a header of the proxy's own answer who denied the request; nil where nothing does.
func denials(d *ir.Denials) *hcm.LocalReplyConfig {
	if d == nil {
		return nil
	}
	named := func(condition, value string) *hcm.ResponseMapper {
		return &hcm.ResponseMapper{
			Filter: celFilter(condition),
			HeadersToAdd: []*core.HeaderValueOption{{
				Header: &core.HeaderValue{Key: d.Header, Value: value}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
		}
	}
	return &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{
		named("response.code_details == "+strconv.Quote(deniedByNone), d.NoRule),
		named("response.code_details.startsWith("+strconv.Quote(deniedByRule)+")", "%RESPONSE_CODE_DETAILS%"),
		named("response.code_details.startsWith("+strconv.Quote(deniedByAsked)+")", "%DYNAMIC_METADATA("+httpfilter.RBAC+":"+d.Noted+")%"),
	}}
}
