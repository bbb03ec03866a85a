package validate

import (
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/cel"
)

// telemetry checks what Istio's webhook checks of a Telemetry object.
func (c *checker) telemetry(t *telemetry.Telemetry) {
	c.policyTarget(t)
	for i, tracing := range t.GetTracing() {
		c.tracing(at("spec.tracing", i), tracing)
	}
	for i, m := range t.GetMetrics() {
		path := at("spec.metrics", i)
		c.telemetryProviders(path+".providers", m.GetProviders())
		if d := m.GetReportingInterval(); d != nil && (d.CheckValid() != nil || d.AsDuration().Milliseconds() < 1) {
			c.fail(path+".reportingInterval", "is no duration of a millisecond or more")
		}
		for j, o := range m.GetOverrides() {
			c.metricsOverride(at(path+".overrides", j), o)
		}
	}
	for i, log := range t.GetAccessLogging() {
		c.telemetryProviders(at("spec.accessLogging", i)+".providers", log.GetProviders())
		c.logFilter(at("spec.accessLogging", i)+".filter.expression", log.GetFilter().GetExpression())
	}
}

// logFilter checks an expression, since Envoy refuses the listener that has one which it does not take.
func (c *checker) logFilter(path, expression string) {
	if expression == "" {
		return
	}
	switch e, err := cel.Parse(expression); {
	case err != nil:
		c.fail(path, "is no expression of CEL: %v", err)
	case e.Unsupported() != "":
		c.fail(path, "%s", e.Unsupported())
	}
}

func (c *checker) metricsOverride(path string, o *telemetry.MetricsOverrides) {
	if m, ok := o.GetMatch().GetMetricMatch().(*telemetry.MetricSelector_CustomMetric); ok && m.CustomMetric == "" {
		c.missing(path + ".match.customMetric")
	}
	for _, label := range sortedKeys(o.GetTagOverrides()) {
		t, field := o.GetTagOverrides()[label], entry(path+".tagOverrides", label)
		if label == "" {
			c.fail(path+".tagOverrides", "a label has no name")
		}
		switch remove := t.GetOperation() == telemetry.MetricsOverrides_TagOverride_REMOVE; {
		case remove && t.GetValue() != "":
			c.fail(field+".value", "a label that is removed has no value; remove the value, or write operation UPSERT")
		case remove:
		case t.GetValue() == "":
			c.missing(field + ".value")
		default:
			if _, err := cel.ParseValue(t.GetValue()); err != nil {
				c.fail(field+".value", "is no expression of CEL: %v", err)
			}
		}
	}
}

func (c *checker) telemetryProviders(path string, providers []*telemetry.ProviderRef) {
	for i, p := range providers {
		if p.GetName() == "" {
			c.missing(at(path, i) + ".name")
		}
	}
}

func (c *checker) tracing(path string, t *telemetry.Tracing) {
	if len(t.GetProviders()) > 1 {
		c.fail(path+".providers", "names several; only one is supported")
	}
	c.telemetryProviders(path+".providers", t.GetProviders())
	if p := t.GetRandomSamplingPercentage(); p != nil && !(p.GetValue() >= 0 && p.GetValue() <= 100) {
		c.fail(path+".randomSamplingPercentage", "%v is not between 0 and 100", p.GetValue())
	}
	for _, name := range sortedKeys(t.GetCustomTags()) {
		tag, field := t.GetCustomTags()[name], entry(path+".customTags", name)
		if name == "" {
			c.fail(path+".customTags", "a tag has no name")
		}
		switch kind := tag.GetType().(type) {
		case *telemetry.Tracing_CustomTag_Literal:
			if kind.Literal.GetValue() == "" {
				c.missing(field + ".literal.value")
			}
		case *telemetry.Tracing_CustomTag_Environment:
			if kind.Environment.GetName() == "" {
				c.missing(field + ".environment.name")
			}
		case *telemetry.Tracing_CustomTag_Header:
			if kind.Header.GetName() == "" {
				c.missing(field + ".header.name")
			}
		}
	}
}
