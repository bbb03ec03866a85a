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
func accessLogsOf(r Reader, objects []*model.Object, side telemetry.Reporter, services func(host string) *model.Service) (accessLogs, []model.Problem) {
	var out accessLogs
	var problems []model.Problem
	for _, name := range logChoiceOf(r.Mesh(), objects, side) {
		l, found := logProviderOf(r.Mesh(), name.provider, services)
		problems = append(problems, found...)
		l.each(func(log *ir.LogFilter) { log.Expression = name.expression })
		if l.requests != nil {
			out.requests = append(out.requests, l.requests)
		}
		if l.connections != nil {
			out.connections = append(out.connections, l.connections)
		}
		if l.noRoute != nil && !r.Mesh().GetDisableEnvoyListenerLog() {
			out.noRoute = append(out.noRoute, l.noRoute)
		}
	}
	return out, problems
}

// chosenLog is a provider that logs are sent to, and the expression that selects them, "" for all.
type chosenLog struct{ provider, expression string }

// logChoice finds the providers of a side. What an object names stands in the place of what those before it
// named, and its entries add up.
type logChoice struct {
	mesh    *meshconfig.MeshConfig
	inForce []string
	parents []string          // what entries that name no provider are about
	filters map[string]string // by provider
}

func logChoiceOf(mesh *meshconfig.MeshConfig, objects []*model.Object, side telemetry.Reporter) []chosenLog {
	c := &logChoice{mesh: mesh, filters: map[string]string{}}
	c.parents = c.known(mesh.GetDefaultProviders().GetAccessLogging())
	if file, _, _ := meshLog(mesh); file != nil && len(c.parents) == 0 {
		c.parents = []string{providerEnvoy}
	}
	c.inForce = slices.Clone(c.parents)
	for _, o := range objects {
		var entries []*telemetryapi.AccessLogging
		for _, e := range telemetryOf(o).GetAccessLogging() {
			if e.GetMatch() == nil || hasSide(e.GetMatch().GetMode(), side) {
				entries = append(entries, e)
			}
		}
		c.apply(entries)
	}
	var out []chosenLog
	for _, name := range c.inForce {
		out = append(out, chosenLog{name, c.filters[name]})
	}
	return out
}

// apply takes the entries of one object.
func (c *logChoice) apply(entries []*telemetryapi.AccessLogging) {
	var named []string
	for _, e := range entries {
		named = append(named, c.known(providerNames(e))...)
	}
	isOut := func(name string) bool { return len(named) > 0 && !slices.Contains(named, name) }
	c.inForce = slices.DeleteFunc(c.inForce, isOut)
	for _, e := range entries {
		names := c.parents
		if len(e.GetProviders()) > 0 {
			if names = c.known(providerNames(e)); len(names) == 0 {
				continue // all of them are reported
			}
		}
		c.parents = names
		for _, name := range names {
			if isOut(name) {
				continue
			}
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
}

func providerNames(e *telemetryapi.AccessLogging) []string {
	var out []string
	for _, p := range e.GetProviders() {
		out = append(out, p.GetName())
	}
	return out
}

// known gives those of the names that are providers of access logs, each once.
func (c *logChoice) known(names []string) []string {
	var out []string
	for _, name := range names {
		if isLogProvider(c.mesh, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// logNameProblems reports the names that are no providers of access logs, of either side.
func logNameProblems(mesh *meshconfig.MeshConfig, objects []*model.Object) []model.Problem {
	var out []model.Problem
	check := func(o *model.Object, field, name string) {
		if isLogProvider(mesh, name) {
			return
		}
		why := " is none of the mesh's extensionProviders, nor " + strconv.Quote(providerEnvoy) + ", which every mesh has"
		if slices.ContainsFunc(mesh.GetExtensionProviders(), func(p *meshconfig.MeshConfig_ExtensionProvider) bool { return p.GetName() == name }) {
			why = " is a provider that takes no access logs here; envoyFileAccessLog, envoyHttpAls, envoyTcpAls and envoyOtelAls do"
		}
		out = append(out, model.Problem{
			Object: o.Key, Field: field, Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Origin: o.Origin,
			Message: strconv.Quote(name) + why + "; it is left out",
		})
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
