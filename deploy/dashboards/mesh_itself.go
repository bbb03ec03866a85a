package dashboards

// istiod is the job of the control plane, envoy that of proxies with their agents, as prometheus.yaml has them.
const (
	istiod = `job="istiod"`
	envoy  = `job="envoy-stats"`
)

func controlPlaneDashboard() Dashboard {
	return Dashboard{
		Name: "control-plane", Title: "Control plane",
		Rows: []Row{
			{"Now", []Panel{
				{Title: "Connected proxies", Unit: number, Number: true, Queries: []Query{{"sum(pilot_xds{" + istiod + "})", ""}}},
				{Title: "Services", Unit: number, Number: true, Queries: []Query{{"max(pilot_services{" + istiod + "})", ""}}},
				{Title: "VirtualServices", Unit: number, Number: true, Queries: []Query{{"max(pilot_virt_services{" + istiod + "})", ""}}},
				{Title: "Refusals by proxies a second", Unit: number, Number: true, Queries: []Query{{"(" + total("pilot_total_xds_rejects", istiod) + ") or vector(0)", ""}}},
			}},
			{"Pushes", []Panel{
				{Title: "By type", Unit: number, Queries: []Query{{rate("pilot_xds_pushes", istiod, "type"), "{{type}}"}}},
				{Title: "From a change to the last acknowledgement", Unit: seconds, Queries: quantiles("pilot_proxy_convergence_time", istiod, "", "")},
				{Title: "Time of a push", Unit: seconds, Queries: quantiles("pilot_xds_push_time", istiod, "", "")},
			}},
			{"What is sent, and why", []Panel{
				{Title: "Size, p95 by type", Unit: size, Queries: quantiles("pilot_xds_config_size_bytes", istiod, "type", " {{type}}")[1:2]},
				{Title: "Reasons", Unit: number, Queries: []Query{{rate("pilot_push_triggers", istiod, "type"), "{{type}}"}}},
				{Title: "Certificates signed a second", Unit: number, Queries: []Query{{total("citadel_server_success_cert_issuance_count", istiod), ""}}},
			}},
			{"The process", []Panel{
				{Title: "Memory", Unit: size, Queries: []Query{
					{"process_resident_memory_bytes{" + istiod + "}", "resident {{instance}}"}, {"go_memstats_heap_inuse_bytes{" + istiod + "}", "heap {{instance}}"},
				}},
				{Title: "CPU", Unit: cores, Queries: []Query{{"rate(process_cpu_seconds_total{" + istiod + "}[$__rate_interval])", "{{instance}}"}}},
				{Title: "Goroutines", Unit: number, Queries: []Query{{"go_goroutines{" + istiod + "}", "{{instance}}"}}},
				{Title: "Root certificate ends in", Unit: seconds, Queries: []Query{{"citadel_server_root_cert_expiry_timestamp{" + istiod + "} - time()", "{{instance}}"}}},
			}},
		},
	}
}

func performanceDashboard() Dashboard {
	return Dashboard{
		Name: "performance", Title: "Performance",
		Rows: []Row{
			{"Envoy", []Panel{
				{Title: "Memory, allocated", Unit: size, Queries: []Query{{"sum(envoy_server_memory_allocated{" + envoy + "}) by (pod)", "{{pod}}"}}},
				{Title: "Memory, heap", Unit: size, Queries: []Query{{"sum(envoy_server_memory_heap_size{" + envoy + "}) by (pod)", "{{pod}}"}}},
				{Title: "Connections", Unit: number, Queries: []Query{{"sum(envoy_server_total_connections{" + envoy + "}) by (pod)", "{{pod}}"}}},
			}},
			{"Agent", []Panel{
				{Title: "Memory", Unit: size, Queries: []Query{{"sum(istio_agent_process_resident_memory_bytes{" + envoy + "}) by (pod)", "{{pod}}"}}},
				{Title: "CPU", Unit: cores, Queries: []Query{{"sum(rate(istio_agent_process_cpu_seconds_total{" + envoy + "}[$__rate_interval])) by (pod)", "{{pod}}"}}},
				{Title: "Scrapes that lack a part", Unit: number, Queries: []Query{{"(" + rate("istio_agent_scrape_failures_total", envoy, "type") + ") or vector(0)", "{{type}}"}}},
			}},
			{"Control plane", []Panel{
				{Title: "CPU for 1,000 pushes", Unit: seconds, Queries: []Query{{
					"1000 * sum(rate(process_cpu_seconds_total{" + istiod + "}[$__rate_interval])) / " + total("pilot_xds_pushes", istiod), "",
				}}},
				{Title: "Memory for a connected proxy", Unit: size, Queries: []Query{{"sum(process_resident_memory_bytes{" + istiod + "}) / sum(pilot_xds{" + istiod + "})", ""}}},
			}},
			{"What metrics cost", []Panel{
				{Title: "Time of a scrape", Unit: seconds, Queries: []Query{{"max(scrape_duration_seconds{" + envoy + "}) by (pod)", "{{pod}}"}}},
				{Title: "Samples of a scrape", Unit: number, Queries: []Query{{"max(scrape_samples_scraped{" + envoy + "}) by (pod)", "{{pod}}"}}},
			}},
		},
	}
}
