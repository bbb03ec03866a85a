package telemetry

// What the control plane's loggers for `pilotctl tap` and the agent that receives them have in common.
const (
	// TapRuntime is the value of Envoy's runtime that says from which status on requests are sent to the agent: TapAll
	// for all of them, TapNone, which no status reaches, for none. To compare numbers costs a request less than a share
	// of all, for which Envoy draws one.
	TapRuntime      = "pilothouse.tap_from_status"
	TapAll, TapNone = 0, 1000
	// TapCluster is the agent's socket in Envoy's bootstrap.
	TapCluster = "tap"
	// TapRoute is the tag of a logged request that names the object which its route came from.
	TapRoute = "route"
	// TapSide is the tag of one that says on which side of its proxy it was: TapIn for what a proxy receives,
	// TapOut for what it sends.
	TapSide       = "side"
	TapIn, TapOut = "in", "out"
)
