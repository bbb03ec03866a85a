package bootstrap

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// upTo is the part of a statistic's name that a prefix owns. A name that may hold dots ends in ";"
// (outbound|80||a.b.svc.cluster.local;), one without goes to the next dot.
const upTo = `((?:[^.;]+(?=\.[^;]*$))|[^;]+);?\.`

// address is a listener's address as it stands in a statistic's name: 0.0.0.0_80, [__]_80, or a
// plain name such as admin.
const address = `((?:[0-9]+\.){3}[0-9]+_[0-9]+|\[[0-9a-fA-F_.]*\]_[0-9]+|[^.]+)\.`

// statsTags turn parts of names into labels; the names are Istio's, which dashboards query. The
// first group is taken out of the name, the second is the value. A single response code stays in
// its name (upstream_rq_200): as a label it would be summed with its class.
func statsTags(extra []string) list {
	tags := list{
		tag("cluster_name", `^cluster\.(`+upTo+`)`),
		tag("tcp_prefix", `^tcp\.(`+upTo+`)\w+?$`),
		tag("response_code", `(response_code=\.=(.+?);\.;)`),
		tag("response_code_class", `_rq(_(\dxx))$`),
		tag("http_conn_manager_listener_prefix", `^listener(?=\.).*?\.http\.(`+upTo+`)`),
		tag("http_conn_manager_prefix", `^http\.(`+upTo+`)`),
		tag("listener_address", `^listener\.(`+address+`)`),
		tag("mongo_prefix", `^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$`),
		tag("thread_name", `^server(\.(.+))\.watchdog`),
		tag("cache", `(cache\.(.+?)\.)`),
		tag("component", `(component\.(.+?)\.)`),
		tag("tag", `(tag\.(.+?);\.)`),
		tag("wasm_filter", `(wasm_filter\.(.+?)\.)`),
		tag("authz_enforce_result", `rbac(\.(allowed|denied))`),
		tag("authz_dry_run_action", `(\.istio_dry_run_(allow|deny)_)`),
		tag("authz_dry_run_result", `(\.shadow_(allowed|denied))`),
	}
	for _, name := range extra {
		tags = append(tags, tag(name, `(`+regexp.QuoteMeta(name)+`=\.=(.*?);\.;)`))
	}
	return tags
}

func tag(name, regex string) object {
	return object{"tag_name": name, "regex": regex}
}

// Always kept: what readiness and draining ask for, and what tells a sick proxy.
var (
	keepPrefixes = []string{"cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm", "reporter=", "component", "istio"}
	keepSuffixes = []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied", "downstream_cx_active"}
	keepRegexps  = []string{`vhost\..*\.route\..*`}
)

// addStats says which statistics Envoy keeps, how they are named, and how often they are written.
func (c Config) addStats(b object) error {
	p, annotations := c.Proxy, c.Node.Annotations
	var patterns list
	for _, part := range []struct {
		kind       string
		kept, more []string
		annotation string
	}{
		{"prefix", keepPrefixes, p.Stats.Prefixes, "sidecar.istio.io/statsInclusionPrefixes"},
		{"suffix", keepSuffixes, p.Stats.Suffixes, "sidecar.istio.io/statsInclusionSuffixes"},
		{"regex", keepRegexps, p.Stats.Regexps, "sidecar.istio.io/statsInclusionRegexps"},
	} {
		more := part.more
		// The pod's annotation replaces the mesh's choice.
		if text, ok := annotations[part.annotation]; ok {
			more = splitList(text)
		}
		for _, p := range append(append([]string{}, part.kept...), c.withPodIPs(more)...) {
			patterns = append(patterns, pattern(part.kind, p))
		}
	}
	tags := append(slices.Clone(p.ExtraStatTags), splitList(annotations["sidecar.istio.io/extraStatTags"])...)
	config := object{
		"use_all_default_tags": false,
		"stats_tags":           statsTags(unique(tags)),
		"stats_matcher":        object{"inclusion_list": object{"patterns": patterns}},
	}
	buckets, err := histogramBuckets(annotations["sidecar.istio.io/statsHistogramBuckets"])
	if err != nil {
		return err
	}
	config["histogram_bucket_settings"] = append(buckets, object{ // the first that matches counts
		"match": object{"prefix": telemetry.Scope + "."}, "buckets": telemetry.HistogramBuckets(), "bins": telemetry.HistogramBins,
	})
	b["stats_config"] = config
	return addStatsIntervals(b, annotations["sidecar.istio.io/statsFlushInterval"], annotations[evictionAnnotation])
}

// withPodIPs puts each of the pod's addresses in the place of {pod_ip}: http.{pod_ip}_ selects the inbound
// listeners.
func (c Config) withPodIPs(patterns []string) []string {
	const variable = "{pod_ip}"
	var out []string
	for _, p := range patterns {
		if !strings.Contains(p, variable) {
			out = append(out, p)
			continue
		}
		for _, ip := range c.Node.IPs {
			out = append(out, strings.ReplaceAll(p, variable, ip))
		}
	}
	return out
}

// histogramBuckets reads buckets by prefix of the statistic's name.
func histogramBuckets(text string) (list, error) {
	if text == "" {
		return nil, nil
	}
	var buckets map[string][]float64
	if err := json.Unmarshal([]byte(text), &buckets); err != nil {
		return nil, fmt.Errorf("bootstrap: annotation sidecar.istio.io/statsHistogramBuckets: %w", err)
	}
	var out list
	for _, prefix := range slices.Sorted(maps.Keys(buckets)) {
		out = append(out, object{"match": object{"prefix": prefix}, "buckets": buckets[prefix]})
	}
	return out, nil
}

const evictionAnnotation = "sidecar.istio.io/statsEvictionInterval"

// StatsEviction is when a statistic that is not used is forgotten; 0 is never. What is no duration Build refuses.
func (n Node) StatsEviction() time.Duration {
	d, err := time.ParseDuration(n.Annotations[evictionAnnotation])
	if err != nil {
		return 0
	}
	return d
}

// defaultFlush is Envoy's interval of flushing statistics.
const defaultFlush = 5 * time.Second

// addStatsIntervals sets how often statistics are flushed, and when one that is not used is forgotten. Envoy
// wants the latter as a multiple of the former, so it is rounded up.
func addStatsIntervals(b object, flushText, evictText string) error {
	flush := defaultFlush
	if flushText != "" {
		d, err := time.ParseDuration(flushText)
		if err != nil || d < time.Millisecond {
			return fmt.Errorf("bootstrap: annotation sidecar.istio.io/statsFlushInterval: %q is no duration of a millisecond or more", flushText)
		}
		flush = d
		b["stats_flush_interval"] = seconds(d)
	}
	if evictText == "" {
		return nil
	}
	d, err := time.ParseDuration(evictText)
	if err != nil || d <= 0 {
		return fmt.Errorf("bootstrap: annotation sidecar.istio.io/statsEvictionInterval: %q is no duration", evictText)
	}
	b["stats_eviction_interval"] = seconds((d + flush - 1) / flush * flush)
	return nil
}

// seconds writes a duration as protobuf's JSON does.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

func unique(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func pattern(kind, text string) object {
	if kind == "regex" {
		return object{"safe_regex": object{"regex": text}}
	}
	return object{kind: text}
}

func splitList(text string) []string {
	var out []string
	for _, s := range strings.Split(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
