package prometheus

// KialiGraph is the name of the query by which Kiali draws the calls within a namespace.
const KialiGraph = "graph, within"

// Kiali gives the queries by which Kiali (2.x) draws its graph and tells health, for the namespace default.
func Kiali() map[string]string {
	const groups = "source_cluster,source_workload_namespace,source_workload,source_canonical_service,source_canonical_revision,destination_cluster,destination_service_namespace,destination_service,destination_service_name,destination_workload_namespace,destination_workload,destination_canonical_service,destination_canonical_revision"
	return map[string]string{
		"graph, into the namespace":   `sum(rate(istio_requests_total{reporter="source",source_workload_namespace!="default",destination_service_namespace="default"} [20s])) by (` + groups + `,request_protocol,response_code,grpc_response_status,response_flags) > 0`,
		KialiGraph:                    `sum(rate(istio_requests_total{reporter=~"source|waypoint",source_workload_namespace="default"} [20s])) by (` + groups + `,request_protocol,response_code,grpc_response_status,response_flags) > 0`,
		"graph, of unknown clients":   `sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="default"} [20s])) by (` + groups + `,request_protocol,response_code,grpc_response_status,response_flags) > 0`,
		"graph, TCP":                  `sum(rate(istio_tcp_sent_bytes_total{reporter="source",source_workload_namespace="default"} [20s])) by (` + groups + `,response_flags) > 0`,
		"security":                    `sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="default"}[20s])) by (source_cluster,source_workload_namespace,source_workload,source_canonical_service,source_canonical_revision,source_principal,destination_cluster,destination_service_namespace,destination_service,destination_service_name,destination_workload_namespace,destination_workload,destination_canonical_service,destination_canonical_revision,destination_principal,connection_security_policy) > 0`,
		"response time":               `histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{reporter="source",source_workload_namespace="default"}[20s])) by (le,` + groups + `,request_protocol)) > 0`,
		"throughput":                  `sum(rate(istio_request_bytes_sum{reporter="source",source_workload_namespace="default"}[20s])) by (` + groups + `,request_protocol) > 0`,
		"health of services":          `sum(rate(istio_requests_total{destination_service_namespace="default"}[20s])) by (destination_service_name,destination_workload,reporter,response_code,grpc_response_status,request_protocol) > 0`,
		"health of workloads":         `sum(rate(istio_requests_total{reporter="source",source_workload_namespace="default",source_workload="productpage-v1"}[20s])) by (request_protocol,response_code,grpc_response_status) > 0`,
		"the control plane's version": `pilot_info or istio_build{component="pilot"}`,
		"the control plane's memory":  `process_resident_memory_bytes{job="istiod"}`,
		"convergence":                 `histogram_quantile(0.99, sum(rate(pilot_proxy_convergence_time_bucket[5m])) by (le)) >= 0`,
	}
}
