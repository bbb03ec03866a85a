package envoy

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Elements gives the messages that many filter chains have alike, as HTTPFilter and AccessLog make them. They may be
// shared, and then nobody may write to them.
type Elements interface {
	HTTPFilter(ir.HTTPFilter) *hcm.HttpFilter
	AccessLog(ir.AccessLogger) *accesslog.AccessLog
}

// Unshared makes each message anew.
type Unshared struct{}

// HTTPFilter gives the message for a filter of an HTTP connection manager.
func (Unshared) HTTPFilter(f ir.HTTPFilter) *hcm.HttpFilter { return HTTPFilter(f) }

// AccessLog gives the message for an access logger.
func (Unshared) AccessLog(l ir.AccessLogger) *accesslog.AccessLog { return AccessLog(l) }
