package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// tapLog is the logger of requests that somebody watches with `pilotctl tap`. It is always there, since a
// listener that changes closes its connections.
func tapLog(side telemetry.Reporter) *ir.TapLog {
	name := telemetry.TapOut
	if side == telemetry.Destination {
		name = telemetry.TapIn
	}
	return &ir.TapLog{Name: name, Runtime: telemetry.TapRuntime, Otherwise: telemetry.TapNone, Cluster: telemetry.TapCluster, NameTag: telemetry.TapSide, RouteTag: telemetry.TapRoute}
}
