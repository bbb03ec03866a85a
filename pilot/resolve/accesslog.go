package resolve

import (
	"fmt"
	"slices"
	"strconv"

	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// providerEnvoy is the access log to a file that every mesh has.
const providerEnvoy = "envoy"

// accessLogs are the loggers of what passes a listener.
type accessLogs struct {
	requests    []ir.AccessLogger
	connections []ir.AccessLogger
	noRoute     []ir.AccessLogger // of connections that no chain took
}

// accessLogsOf gives the loggers of a side of a class's requests, and reports what is wrong with the providers
// that these go to. services finds what the class sends to.
func accessLogsOf(r Reader, c *Class, objects []*model.Object, side telemetry.Reporter, services func(host string) *model.Service) (accessLogs, []model.Problem) {
	var out accessLogs
	var problems []model.Problem
	chosen, ofMesh := logChoiceOf(r.Mesh(), objects, side)
	for _, name := range chosen {
		l, found := logProviderOf(r.Mesh(), name.provider, services)
		problems = append(problems, found...)
		l.each(func(log *ir.LogFilter) { log.Expression = name.expression })
		out.add(r.Mesh(), l)
	}
	if ofMesh && c.LogService {
		out.add(r.Mesh(), serviceLogs())
	}
	return out, problems
}

func (a *accessLogs) add(mesh *meshconfig.MeshConfig, l providerLogs) {
	if l.requests != nil {
		a.requests = append(a.requests, l.requests)
	}
	if l.connections != nil {
		a.connections = append(a.connections, l.connections)
	}
	if l.noRoute != nil && !mesh.GetDisableEnvoyListenerLog() {
		a.noRoute = append(a.noRoute, l.noRoute)
	}
}

// chosenLog is a provider that logs are sent to, and the expression that selects them, "" for all.
type chosenLog struct{ provider, expression string }

// logChoice finds the providers of a side, as Istio's mergeLogs does (pilot/pkg/model/telemetry.go), but for two things:
// the filter of an entry without providers holds for those of the entry before, and one that names unknown providers
// alone changes nothing. The last object
// that names providers for the side decides which may be in force at all. Those that all workloads have by default
// are in force where no object says anything, of either side. Where objects do, but none about this side, only the
// file of the mesh is.
type logChoice struct {
	mesh    *meshconfig.MeshConfig
	side    telemetry.Reporter
	scope   []string // what may be in force
	parents []string // what entries that name no provider are about: what the entry before, of any side, was about
	said    bool     // something of the side
	inForce []string
	filters map[string]string // by provider
}

// logChoiceOf also tells whether what is in force is what the mesh says without providers. Only then is the service
// of enableEnvoyAccessLogService, as in Istio: no object can name it, nor turn it off by itself.
func logChoiceOf(mesh *meshconfig.MeshConfig, objects []*model.Object, side telemetry.Reporter) (chosen []chosenLog, asMesh bool) {
	c := &logChoice{mesh: mesh, side: side, filters: map[string]string{}}
	c.parents = c.known(mesh.GetDefaultProviders().GetAccessLogging())
	var ofMesh []string
	if file, _, _ := meshLog(mesh); file != nil {
		ofMesh = []string{providerEnvoy}
	}
	if asMesh = len(c.parents) == 0; asMesh {
		c.parents = ofMesh
	}
	c.inForce, c.scope = c.parents, c.parents
	if slices.ContainsFunc(objects, func(o *model.Object) bool { return len(telemetryOf(o).GetAccessLogging()) > 0 }) {
		c.inForce = nil
		for _, o := range objects {
			c.limit(telemetryOf(o).GetAccessLogging())
		}
		for _, o := range objects {
			for _, e := range telemetryOf(o).GetAccessLogging() {
				c.apply(e)
			}
		}
		if asMesh = !c.said; asMesh {
			c.inForce = ofMesh
		}
	}
	for _, name := range c.inForce {
		chosen = append(chosen, chosenLog{name, c.filters[name]})
	}
	return chosen, asMesh
}

func (c *logChoice) concerns(e *telemetryapi.AccessLogging) bool {
	return e.GetMatch() == nil || hasSide(e.GetMatch().GetMode(), c.side)
}

// limit takes what one object names for the side.
func (c *logChoice) limit(entries []*telemetryapi.AccessLogging) {
	var named []string
	for _, e := range entries {
		if c.concerns(e) {
			named = append(named, c.known(providerNames(e))...)
		}
	}
	if len(named) > 0 {
		c.scope = named
	}
}

// apply takes one entry, after those before it.
func (c *logChoice) apply(e *telemetryapi.AccessLogging) {
	if len(e.GetProviders()) > 0 {
		names := c.known(providerNames(e))
		if len(names) == 0 {
			return // all of them are reported
		}
		c.parents = names
	}
	if !c.concerns(e) {
		return
	}
	for _, name := range c.parents {
		if !slices.Contains(c.scope, name) {
			continue
		}
		c.said = true
		if e.GetFilter() != nil || len(e.GetProviders()) > 0 {
			c.filters[name] = e.GetFilter().GetExpression()
		}
		at := slices.Index(c.inForce, name)
		switch off := e.GetDisabled().GetValue(); {
		case off && at >= 0:
			c.inForce = slices.Delete(c.inForce, at, at+1)
		case !off && at < 0:
			c.inForce = append(c.inForce, name)
		}
	}
}

func providerNames(e *telemetryapi.AccessLogging) []string {
	var out []string
	for _, p := range e.GetProviders() {
		out = append(out, p.GetName())
	}
	return out
}

// known gives those of the names that are providers of access logs, each once and as the mesh has it.
func (c *logChoice) known(names []string) []string {
	var out []string
	for _, name := range names {
		if own, ok := logProvider(c.mesh, name); ok && !slices.Contains(out, own) {
			out = append(out, own)
		}
	}
	return out
}

// logNameProblems reports the names that are no providers of access logs, of either side.
func logNameProblems(mesh *meshconfig.MeshConfig, objects []*model.Object) []model.Problem {
	var out []model.Problem
	check := func(o *model.Object, field, name string) {
		if _, ok := logProvider(mesh, name); ok {
			return
		}
		why := " is none of the mesh's extensionProviders, nor " + strconv.Quote(providerEnvoy) + ", which every mesh has"
		if providerAt(mesh, name) >= 0 {
			why = " is a provider that takes no access logs here; envoyFileAccessLog, envoyHttpAls, envoyTcpAls and envoyOtelAls do"
		}
		out = append(out, o.WarningAt(field, model.ReasonNotTranslated, strconv.Quote(name)+why+"; it is left out"))
	}
	for i, name := range mesh.GetDefaultProviders().GetAccessLogging() {
		check(meshObject(), fmt.Sprintf("defaultProviders.accessLogging[%d]", i), name)
	}
	for _, o := range objects {
		for i, e := range telemetryOf(o).GetAccessLogging() {
			for j, name := range providerNames(e) {
				check(o, fmt.Sprintf("spec.accessLogging[%d].providers[%d].name", i, j), name)
			}
		}
	}
	return out
}
