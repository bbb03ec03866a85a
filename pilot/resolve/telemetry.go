package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// peerHeaders say who a proxy of the mesh is. They do not leave it, since the clusters of what is outside, or not
// known, take them out, and count only where the client has proven that it is of the mesh.
var peerHeaders = []string{telemetry.PeerHeader, telemetry.ShortPeerHeader, telemetry.PeerIDHeader}

// toldPeers are those that a client's proxy sets: the long one, which takes most time, only where somebody may need it.
func toldPeers(r Reader, c *Class) (out ir.PeerHeaders) {
	tell := func(header, variable string, told bool) {
		if told {
			out.Set = append(out.Set, ir.HeaderVariable{Header: header, Variable: variable})
		} else {
			out.Strip = append(out.Strip, header)
		}
	}
	tell(telemetry.PeerHeader, telemetry.PeerVariable, c.LongPeer || r.HasLongPeers())
	tell(telemetry.ShortPeerHeader, telemetry.ShortPeerVariable, !c.LongPeer)
	out.Strip = append(out.Strip, telemetry.PeerIDHeader)
	return out
}

// peerFormat is what a server's proxy notes of them.
func peerFormat(c *Class) string {
	if c.LongPeer {
		return telemetry.LongPeerFormat
	}
	return telemetry.PeerFormat
}

// peerKey is where the filter state of a request has what a client's proxy said of itself.
const peerKey = "istio.peer"

// scopes bound the series of a proxy. Counts of gRPC messages have a scope of their own, since a new combination of
// them may come with each stream. Another limit is another scope for Envoy, so it has another name.
func scopes(limit int) (all, messages ir.StatsScope) {
	suffix := ""
	if limit != telemetry.DefaultSeries {
		suffix = strconv.Itoa(limit)
	}
	n := uint32(limit)
	return ir.StatsScope{Name: telemetry.Scope + suffix, Prefix: telemetry.Scope, Counters: n, Histogram: n},
		ir.StatsScope{Name: telemetry.StatMessages + suffix, Prefix: telemetry.Scope, Counters: max(n/5, 1), Histogram: 1}
}

// seriesLimit gives what the mesh says.
func seriesLimit(r Reader) (int, []model.Problem) {
	limit, err := telemetry.SeriesLimit(r.Mesh().GetDefaultConfig().GetProxyMetadata()[telemetry.SeriesVariable])
	if err != nil {
		return limit, []model.Problem{meshObject().WarningAt("defaultConfig.proxyMetadata["+telemetry.SeriesVariable+"]", model.ReasonInvalid, err.Error())}
	}
	return limit, nil
}

// instrument lets a listener count and log what passes it.
type instrument struct {
	class *Class
	logs  accessLogs
	side  telemetry.Reporter
	rules metricRules
	every time.Duration // how often the bytes of open connections are told

	// untold is for sidecars in a mesh where no server counts who calls it. Gateways go on as elsewhere, since they take
	// more out of what passes them.
	untold bool
	told   ir.PeerHeaders
	// messages tells that somebody counts the messages of gRPC, logs them, or has a label or a tag of them.
	messages bool

	statsScope, messagesScope ir.StatsScope
	tracing                   *ir.Tracing
	// problems of what decides this.
	problems []model.Problem
	// service gives the destination of what a cluster gets, for the server's side; nil for the client's.
	service func(cluster string) string
	// operation gives the name of the spans of what a cluster gets, for the server's side.
	operation func(cluster string) string
	// unnamed tells whether the hosts of a cluster have no metadata.
	unnamed func(cluster string) bool // nil where none is so
}

// instrumentOutbound is for the listeners of what a class of sidecars sends.
func instrumentOutbound(v *view, l *ir.Listener) *ir.Listener {
	i := newInstrument(v.r, v.c, telemetry.Source, v.service)
	i.unnamed = func(cluster string) bool {
		svc := v.service(model.ClusterHost(cluster))
		return svc == nil || svc.Headless
	}
	return i.listener(l)
}

// instrumentGateway is for the listeners of gateways.
func instrumentGateway(v *view, l *ir.Listener) *ir.Listener {
	i := newInstrument(v.r, v.c, telemetry.Source, servicesOf(v.r, v.c))
	v.report(i.problems...)
	return i.listener(l)
}

// instrumentInbound is for what a class receives.
func instrumentInbound(v *view, l *ir.Listener) *ir.Listener {
	i := newInstrument(v.r, v.c, telemetry.Destination, servicesOf(v.r, v.c))
	v.report(i.problems...)
	ports := make(map[string]InboundPort, len(v.c.Inbound)) // the first of a port counts
	for _, in := range v.c.Inbound {
		if name := model.ClusterName("inbound", in.TargetPort, "", ""); ports[name].Host == "" {
			ports[name] = in
		}
	}
	i.service = func(cluster string) string { return cmp.Or(ports[cluster].Host, cluster) }
	i.operation = func(cluster string) string {
		if in, ok := ports[cluster]; ok {
			return hostPort(in.Host, in.Port) + "/*"
		}
		return ""
	}
	return i.listener(l)
}

// servicesOf finds what a class sends to; its scope is made only where somebody asks.
func servicesOf(r Reader, c *Class) func(host string) *model.Service {
	return func(host string) *model.Service {
		v := view{r: r, c: c, scope: newScope(r, c)}
		return v.service(host)
	}
}

func newInstrument(r Reader, c *Class, side telemetry.Reporter, services func(host string) *model.Service) *instrument {
	objects := telemetries(r, c)
	i := &instrument{class: c, side: side, rules: metricRulesOf(objects, side), every: reportingInterval(objects)}
	if i.untold = c.Type != model.RouterProxy && !countsPeers(r); side == telemetry.Source && !i.untold {
		i.told = toldPeers(r, c)
	}
	limit, limitProblems := seriesLimit(r)
	i.statsScope, i.messagesScope = scopes(limit)
	i.observe(r, c, objects, services)
	i.messages = i.asksMessages()
	i.problems = slices.Concat(i.problems, limitProblems, logNameProblems(r.Mesh(), objects), metricNameProblems(r.Mesh(), objects), labelProblems(objects), tagProblems(r.Mesh(), objects))
	if side == telemetry.Destination { // what a class sends reports nothing, since namespaces share it
		sent := &instrument{side: telemetry.Source}
		sent.observe(r, c, objects, services)
		for _, p := range sent.problems {
			if !slices.Contains(i.problems, p) {
				i.problems = append(i.problems, p)
			}
		}
	}
	return i
}

// observe decides where logs and spans of the side go.
func (i *instrument) observe(r Reader, c *Class, objects []*model.Object, services func(host string) *model.Service) {
	var logs, spans []model.Problem
	i.logs, logs = accessLogsOf(r, c, objects, i.side, services)
	i.tracing, spans = tracing(r, c, objects, i.side, services)
	i.problems = slices.Concat(logs, spans)
}

func (i *instrument) listener(l *ir.Listener) *ir.Listener {
	l.Also = otherFamily(i.class, l.Address)
	takeHTTP10(i.class, l)
	limitConnections(i.class, l)
	headersOfListener(i.class, l)
	if l.BindToPort { // what another listener handed over is logged there
		l.AccessLog = i.logs.noRoute
	}
	for _, c := range l.Chains {
		i.chain(c)
	}
	if l.Default != nil {
		i.chain(l.Default)
	}
	return l
}

func (i *instrument) chain(c *ir.FilterChain) {
	mutual := c.TLS != nil && (c.TLS.RootSecret == ir.SecretRoot || len(ir.FurtherDomains(c.TLS.RootSecret)) > 0)
	for _, f := range c.Filters {
		switch f := f.(type) {
		case *ir.HTTPConnectionManager:
			i.http(f, mutual)
		case *ir.TCPProxy:
			i.tcp(f)
			f.AfterHandshake = mutual // only then is it known who the client is
		}
	}
}

// http counts requests. A client's proxy says who it is; a server's believes it only of a client that has
// proven to be of the mesh, and in any case neither filters, nor what they ask, nor the workload see it.
func (i *instrument) http(m *ir.HTTPConnectionManager, mutual bool) {
	stats := i.httpStats(m, mutual)
	if !i.messages { // every request would pay for that; the filter stays in its place, which EnvoyFilters name
		if at := slices.Index(m.Filters, ir.HTTPFilter(ir.GRPCStats{})); at >= 0 {
			m.Filters[at] = ir.GRPCStats{OnDemand: true}
		}
	}
	switch {
	case i.side == telemetry.Source && i.untold: // the application cannot forge it, either
		m.EarlyRemoval = peerHeaders
	case i.side == telemetry.Source:
		m.Filters = slices.Insert(m.Filters, len(m.Filters)-1, ir.HTTPFilter(i.told)) // the router is last
	default:
		if i.untold { // no client's proxy takes them out
			m.Routes.RemoveFromResponses = peerHeaders
		}
		if mutual && len(stats) > 0 { // nothing else names it
			m.Filters = slices.Insert(m.Filters, 0,
				ir.HTTPFilter(ir.PeerState{Format: peerFormat(i.class), Key: peerKey}), ir.HTTPFilter(ir.HeaderRemoval{Headers: peerHeaders}))
		} else {
			m.EarlyRemoval = peerHeaders
		}
	}
	m.AccessLog = append(append(stats, i.logs.requests...), tapLog(i.side))
	if m.Tracing = i.tracing; i.tracing == nil || i.operation == nil {
		return
	}
	for _, vh := range m.Routes.VirtualHosts {
		for _, route := range vh.Routes {
			route.Operation = i.operation(m.Routes.Name)
		}
	}
}

// asksMessages tells whether messages are asked for.
func (i *instrument) asksMessages() bool {
	return len(i.rules.shown(telemetry.StatMessages)) > 0 || slices.ContainsFunc(i.logs.requests, namesMessages) ||
		i.tracing != nil && namesMessages(i.tracing.Tags) ||
		slices.ContainsFunc(requestStatistics, func(name string) bool { return namesMessages(i.rules.shown(name)) })
}

// namesMessages tells whether a log, tags or labels name in whatever part of them what the filter of messages notes.
func namesMessages[T any](of T) bool {
	return strings.Contains(fmt.Sprintf("%+v", of), httpfilter.GRPCStats)
}

func (i *instrument) httpStats(m *ir.HTTPConnectionManager, mutual bool) []ir.AccessLogger {
	destination, principal, peer := "%UPSTREAM_CLUSTER_RAW%%METADATA(ROUTE:istio:destination)%", "%UPSTREAM_PEER_URI_SAN%", upstreamWorkload
	if i.side == telemetry.Destination {
		destination, principal, peer = i.service(m.Routes.Name), "", ""
		if mutual {
			principal, peer = "%DOWNSTREAM_PEER_URI_SAN%", "%FILTER_STATE("+peerKey+":PLAIN)%"
		}
	}
	fields := telemetry.HTTPFields(destination, "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%GRPC_STATUS_NUMBER%", principal, peer)
	return slices.Concat(
		i.stats(i.statsScope, ir.LogFilter{}, "", fields,
			ir.Stat{Name: telemetry.StatRequests},
			ir.Stat{Name: telemetry.StatDuration, Kind: ir.StatMilliseconds, Value: "%DURATION%"},
			ir.Stat{Name: telemetry.StatRequestBytes, Kind: ir.StatBytes, Value: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"},
			ir.Stat{Name: telemetry.StatResponseBytes, Kind: ir.StatBytes, Value: "%DOWNSTREAM_WIRE_BYTES_SENT%"}),
		i.stats(i.messagesScope, ir.LogFilter{GRPC: true}, "%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%", fields,
			ir.Stat{Name: telemetry.StatMessages}))
}

// stats gives the logger of those of the statistics that are shown; none where none is.
func (i *instrument) stats(scope ir.StatsScope, filter ir.LogFilter, detail string, fields []string, all ...ir.Stat) []ir.AccessLogger {
	out := &ir.StatsLog{Scope: scope, Filter: filter}
	for _, s := range all {
		for _, shown := range i.rules.shown(s.Name) {
			value := telemetry.Format(i.side, detail, shown.drop, fields...)
			s.Labels = append([]ir.StatLabel{{Name: telemetry.Label, Format: value}}, shown.labels...)
			out.Stats = append(out.Stats, s)
		}
	}
	if len(out.Stats) == 0 {
		return nil
	}
	return []ir.AccessLogger{out}
}

// upstreamWorkload is what the metadata of the chosen host says of its workload.
const upstreamWorkload = "%UPSTREAM_METADATA(istio:workload)%"

// tcp counts connections, when they are made and when they end, and their bytes, which the agent does by their log.
// The mesh's log has each of them once.
func (i *instrument) tcp(t *ir.TCPProxy) {
	fields, detail := i.tcpFields(t), telemetry.ConnectionDetail
	if i.side == telemetry.Destination || !i.withoutMetadata(t) {
		detail = telemetry.SocketDetail
	}
	connections := i.stats(i.statsScope, ir.LogFilter{Entries: []ir.LogEntry{ir.EntryConnected, ir.EntryEnd}}, detail, fields,
		ir.Stat{Name: telemetry.StatConnections})
	t.LogConnected, t.AccessLog = len(connections) > 0, connections
	if drop, shown := i.rules.dropped(telemetry.MetricsOf(telemetry.StatBytes), true); shown {
		value := telemetry.Format(i.side, telemetry.ConnectionID, drop, fields...)
		t.LogEvery = i.every
		t.AccessLog = append(t.AccessLog, &ir.BytesLog{
			Filter: ir.LogFilter{Entries: []ir.LogEntry{ir.EntryPeriodic, ir.EntryEnd}}, Name: telemetry.BytesLog, Cluster: telemetry.TapCluster,
			Tags: append([]ir.StatLabel{{Name: telemetry.Label, Format: value}}, i.rules.bytesLabels()...),
		})
	}
	t.AccessLog = append(t.AccessLog, i.logs.connections...)
}

// withoutMetadata tells whether no host of what connections go to has metadata, which a host with a socket has.
func (i *instrument) withoutMetadata(t *ir.TCPProxy) bool {
	return i.unnamed != nil && !slices.ContainsFunc(t.Clusters, func(c ir.WeightedCluster) bool { return !i.unnamed(c.Name) })
}

func (i *instrument) tcpFields(t *ir.TCPProxy) []string {
	destination, principal, peer := "%UPSTREAM_CLUSTER_RAW%", "%UPSTREAM_PEER_URI_SAN%", upstreamWorkload
	switch {
	case i.side == telemetry.Destination:
		destination, principal, peer = i.service(t.Clusters[0].Name), "%DOWNSTREAM_PEER_URI_SAN%", ""
	case i.withoutMetadata(t):
		peer = ""
	}
	return telemetry.TCPFields(destination, "%RESPONSE_FLAGS%", principal, peer)
}
