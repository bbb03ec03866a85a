package resolve

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/cel"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// labelName is a name that Prometheus takes ("Data model").
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// metricLabel gives the label of an override that sets one: Envoy evaluates its expression. The fault says why it
// is left out, "" where it is not.
func metricLabel(name, expression string) (label ir.StatLabel, fault string) {
	switch {
	case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
		return label, "no label of Prometheus has this name"
	case name == telemetry.Label || name == "le":
		return label, "the proxies have another use for a label of this name; choose another"
	}
	e, err := cel.ParseValue(expression)
	switch {
	case err != nil: // validation refuses it
		return label, "is no expression of CEL: " + err.Error()
	case e.Unsupported() != "":
		return label, "Envoy does not evaluate it: " + e.Unsupported()
	}
	return ir.StatLabel{Name: name, Format: e.Format()}, ""
}

// labelProblems reports the labels that are left out, of either side.
func labelProblems(objects []*model.Object) []model.Problem {
	var out []model.Problem
	for _, o := range objects {
		for i, m := range telemetryOf(o).GetMetrics() {
			for j, override := range m.GetOverrides() {
				tags := override.GetTagOverrides()
				for _, name := range slices.Sorted(maps.Keys(tags)) {
					if tags[name].GetOperation() == telemetryapi.MetricsOverrides_TagOverride_REMOVE {
						continue
					}
					if _, fault := metricLabel(name, tags[name].GetValue()); fault != "" {
						out = append(out, o.WarningAt(fmt.Sprintf("spec.metrics[%d].overrides[%d].tagOverrides[%s].value", i, j, name),
							model.ReasonNotTranslated, fault+"; the label stays as it is"))
					}
				}
			}
		}
	}
	return out
}

// shownStat is what is shown of a statistic.
type shownStat struct {
	drop   []string // what is not
	labels []ir.StatLabel
}

// shown gives what is shown of a statistic: nothing, one thing, or two where its metrics have labels of their own.
func (m metricRules) shown(statistic string) []shownStat {
	names := telemetry.MetricsOf(statistic)
	groups := [][]string{names}
	if len(names) > 1 && !slices.Equal(m.labels(names[0]), m.labels(names[1])) {
		groups = [][]string{names[:1], names[1:]}
	}
	var out []shownStat
	for _, group := range groups {
		drop, some := m.dropped(group, len(names) > 1)
		if !some {
			continue
		}
		for _, name := range names {
			if !slices.Contains(group, name) {
				drop = append(drop, name)
			}
		}
		out = append(out, shownStat{drop, m.labels(group[0])})
	}
	return out
}

// bytesLabels gives the labels of the bytes of connections, which have one log: those of one metric alone are named
// with it. Envoy leaves out tags without a value, so each begins with a sign.
func (m metricRules) bytesLabels() []ir.StatLabel {
	out := m.namedBytesLabels()
	for i := range out {
		out[i].Format = telemetry.HasValue + out[i].Format
	}
	return out
}

func (m metricRules) namedBytesLabels() []ir.StatLabel {
	names := telemetry.MetricsOf(telemetry.StatBytes)
	if slices.Equal(m.labels(names[0]), m.labels(names[1])) {
		return slices.Clone(m.labels(names[0]))
	}
	var out []ir.StatLabel
	for _, name := range names {
		for _, l := range m.labels(name) {
			out = append(out, ir.StatLabel{Name: name + telemetry.OfMetric + l.Name, Format: l.Format})
		}
	}
	return out
}

func (m metricRules) labels(metric string) []ir.StatLabel {
	if rule := m[metric]; rule != nil {
		return rule.labels
	}
	return nil
}

// setLabel sets a label, or takes it away where its format is "".
func (r *metricRule) setLabel(label ir.StatLabel) {
	at, found := slices.BinarySearchFunc(r.labels, label.Name, func(l ir.StatLabel, name string) int { return strings.Compare(l.Name, name) })
	switch {
	case label.Format == "" && found:
		r.labels = slices.Delete(r.labels, at, at+1)
	case label.Format != "" && found:
		r.labels[at] = label
	case label.Format != "":
		r.labels = slices.Insert(r.labels, at, label)
	}
}
