package build

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// elements are the filters and loggers of filter chains. Chains of different workloads are seldom equal, but most of
// their filters and loggers are; when many chains are computed at a time, each of these is made once. Nobody keeps
// them, so they are gone when that is over.
type elements struct {
	digests *digester
	filters memo[hcm.HttpFilter]
	loggers memo[accesslog.AccessLog]
}

func (e *elements) HTTPFilter(f ir.HTTPFilter) *hcm.HttpFilter {
	out, _ := e.filters.get(e.digests.of(f), func() (*hcm.HttpFilter, error) { return envoy.HTTPFilter(f), nil })
	return out
}

func (e *elements) AccessLog(l ir.AccessLogger) *accesslog.AccessLog {
	out, _ := e.loggers.get(e.digests.of(l), func() (*accesslog.AccessLog, error) { return envoy.AccessLog(l), nil })
	return out
}
