package bootstrap

import (
	"regexp"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
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
		tag("authz_enforce_result", `rbac(\.(allowed|denied))`),
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
	keepPrefixes = []string{"cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm", "reporter=", "component"}
	keepSuffixes = []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied", "downstream_cx_active"}
	keepRegexps  = []string{`vhost\..*\.route\..*`}
)

func statsConfig(p *proxyconfig.Config, annotations map[string]string) object {
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
		for _, p := range append(append([]string{}, part.kept...), more...) {
			patterns = append(patterns, pattern(part.kind, p))
		}
	}
	return object{
		"use_all_default_tags": false,
		"stats_tags":           statsTags(p.ExtraStatTags),
		"stats_matcher":        object{"inclusion_list": object{"patterns": patterns}},
	}
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
