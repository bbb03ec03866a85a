package dashboards

import "fmt"

// Units of panels.
const (
	perSecond = "reqps"
	share     = "percentunit"
	millis    = "ms"
	bytesRate = "Bps"
	size      = "bytes"
	number    = "short"
	cores     = "cores"
	seconds   = "s"
)

// rate sums the rates of a metric by labels.
func rate(metric, match, by string) string {
	return fmt.Sprintf("sum(rate(%s{%s}[$__rate_interval])) by (%s)", metric, match, by)
}

// total sums the rates of a metric.
func total(metric, match string) string {
	return fmt.Sprintf("sum(rate(%s{%s}[$__rate_interval]))", metric, match)
}

// success is the share of requests that did not fail by the server.
func success(match string) string {
	return total("istio_requests_total", match+`,response_code!~"5.."`) + " / " + total("istio_requests_total", match)
}

func successBy(match, by string) string {
	return rate("istio_requests_total", match+`,response_code!~"5.."`, by) + " / " + rate("istio_requests_total", match, by)
}

// quantiles are p50, p95 and p99 of a histogram.
func quantiles(metric, match, by, legend string) []Query {
	labels := "le"
	if by != "" {
		labels += ", " + by
	}
	var out []Query
	for _, q := range []string{"0.50", "0.95", "0.99"} {
		out = append(out, Query{fmt.Sprintf("histogram_quantile(%s, %s)", q, rate(metric+"_bucket", match, labels)), "p" + q[2:] + legend})
	}
	return out
}

// All are the dashboards.
func All() []Dashboard {
	return []Dashboard{meshDashboard(), serviceDashboard(), workloadDashboard(), controlPlaneDashboard(), performanceDashboard()}
}

func meshDashboard() Dashboard {
	const source, by = `reporter=~"source"`, "destination_service, destination_workload, destination_workload_namespace"
	const duration = "istio_request_duration_milliseconds"
	return Dashboard{
		Name: "mesh", Title: "Mesh",
		Rows: []Row{
			{"All requests", []Panel{
				{Title: "Requests", Unit: perSecond, Number: true, Queries: []Query{{total("istio_requests_total", source), ""}}},
				{Title: "Success", Unit: share, Number: true, Queries: []Query{{success(source), ""}}},
				{Title: "Proxies", Unit: number, Number: true, Queries: []Query{{"sum(pilot_xds)", ""}}},
				{Title: "Services", Unit: number, Number: true, Queries: []Query{{"max(pilot_services)", ""}}},
			}},
			{"By service", []Panel{
				{Title: "Requests by response code", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", source, "response_code"), "{{response_code}}"}}},
				{Title: "Requests by service", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", source, "destination_service"), "{{destination_service}}"}}},
			}},
			{"Workloads", []Panel{
				{Title: "Requests a second", Unit: perSecond, Table: true, Queries: []Query{{rate("istio_requests_total", source, by), ""}}},
				{Title: "Success", Unit: share, Table: true, Queries: []Query{{successBy(source, by), ""}}},
				{Title: "p95", Unit: millis, Table: true, Queries: quantiles(duration, source, by, "")[1:2]},
			}},
			{"TCP", []Panel{
				{Title: "Sent", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_sent_bytes_total", source, "destination_service"), "{{destination_service}}"}}},
				{Title: "Received", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_received_bytes_total", source, "destination_service"), "{{destination_service}}"}}},
			}},
		},
	}
}

func serviceDashboard() Dashboard {
	const service = `destination_service=~"$service"`
	const client, server = `reporter="source",` + service, `reporter="destination",` + service
	const caller = "source_workload, source_workload_namespace, response_code"
	const callerLegend = "{{source_workload}}.{{source_workload_namespace}} {{response_code}}"
	return Dashboard{
		Name: "service", Title: "Service",
		Variables: []Variable{{"service", "Service", "label_values(istio_requests_total, destination_service)"}},
		Rows: []Row{
			{"Now", []Panel{
				{Title: "Requests, as clients see them", Unit: perSecond, Number: true, Queries: []Query{{total("istio_requests_total", client), ""}}},
				{Title: "Success, as clients see it", Unit: share, Number: true, Queries: []Query{{success(client), ""}}},
				{Title: "Requests, as servers see them", Unit: perSecond, Number: true, Queries: []Query{{total("istio_requests_total", server), ""}}},
				{Title: "By mutual TLS", Unit: share, Number: true, Queries: []Query{{
					total("istio_requests_total", server+`,connection_security_policy="mutual_tls"`) + " / " + total("istio_requests_total", server), "",
				}}},
			}},
			{"Duration", []Panel{
				{Title: "As clients see it", Unit: millis, Queries: quantiles("istio_request_duration_milliseconds", client, "", "")},
				{Title: "As servers see it", Unit: millis, Queries: quantiles("istio_request_duration_milliseconds", server, "", "")},
			}},
			{"Callers and workloads", []Panel{
				{Title: "Requests by caller and code", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", client, caller), callerLegend}}},
				{Title: "Requests by workload", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", server, "destination_workload, destination_canonical_revision"), "{{destination_workload}} {{destination_canonical_revision}}"}}},
				{Title: "p95 by workload", Unit: millis, Queries: quantiles("istio_request_duration_milliseconds", server, "destination_workload", " {{destination_workload}}")[1:2]},
			}},
			{"Sizes", []Panel{
				{Title: "Requests", Unit: size, Queries: quantiles("istio_request_bytes", client, "", "")},
				{Title: "Responses", Unit: size, Queries: quantiles("istio_response_bytes", client, "", "")},
			}},
			{"TCP", []Panel{
				{Title: "Connections opened", Unit: number, Queries: []Query{{rate("istio_tcp_connections_opened_total", client, "source_workload"), "{{source_workload}}"}}},
				{Title: "Sent", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_sent_bytes_total", client, "source_workload"), "{{source_workload}}"}}},
				{Title: "Received", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_received_bytes_total", client, "source_workload"), "{{source_workload}}"}}},
			}},
		},
	}
}

func workloadDashboard() Dashboard {
	const in = `reporter="destination",destination_workload_namespace=~"$namespace",destination_workload=~"$workload"`
	const out = `reporter="source",source_workload_namespace=~"$namespace",source_workload=~"$workload"`
	const from, to = "source_workload, source_workload_namespace, response_code", "destination_service, response_code"
	return Dashboard{
		Name: "workload", Title: "Workload",
		Variables: []Variable{
			{"namespace", "Namespace", "label_values(istio_requests_total, destination_workload_namespace)"},
			{"workload", "Workload", `label_values(istio_requests_total{destination_workload_namespace=~"$namespace"}, destination_workload)`},
		},
		Rows: []Row{
			{"Now", []Panel{
				{Title: "Requests received", Unit: perSecond, Number: true, Queries: []Query{{total("istio_requests_total", in), ""}}},
				{Title: "Success", Unit: share, Number: true, Queries: []Query{{success(in), ""}}},
				{Title: "Requests sent", Unit: perSecond, Number: true, Queries: []Query{{total("istio_requests_total", out), ""}}},
				{Title: "Success of those", Unit: share, Number: true, Queries: []Query{{success(out), ""}}},
			}},
			{"Received", []Panel{
				{Title: "By caller and code", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", in, from), "{{source_workload}}.{{source_workload_namespace}} {{response_code}}"}}},
				{Title: "Duration", Unit: millis, Queries: quantiles("istio_request_duration_milliseconds", in, "", "")},
				{Title: "By security", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", in, "connection_security_policy"), "{{connection_security_policy}}"}}},
			}},
			{"Sent", []Panel{
				{Title: "By service and code", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", out, to), "{{destination_service}} {{response_code}}"}}},
				{Title: "Duration", Unit: millis, Queries: quantiles("istio_request_duration_milliseconds", out, "destination_service", " {{destination_service}}")},
				{Title: "By Envoy's flags", Unit: perSecond, Queries: []Query{{rate("istio_requests_total", out, "response_flags"), "{{response_flags}}"}}},
			}},
			{"TCP", []Panel{
				{Title: "Received connections: bytes in", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_received_bytes_total", in, "destination_workload"), "{{destination_workload}}"}}},
				{Title: "Received connections: bytes out", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_sent_bytes_total", in, "destination_workload"), "{{destination_workload}}"}}},
				{Title: "Made connections: bytes", Unit: bytesRate, Queries: []Query{{rate("istio_tcp_sent_bytes_total", out, "destination_service"), "to {{destination_service}}"}}},
			}},
		},
	}
}
