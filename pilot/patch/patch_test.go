package patch

import (
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func decodeYAML(t *testing.T, text string, to proto.Message) {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(data, to)
	}
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// patches reads items of configPatches.
func patches(t *testing.T, items ...string) (Set, []model.Problem) {
	t.Helper()
	spec := &networking.EnvoyFilter{}
	decodeYAML(t, "configPatches: ["+strings.Join(items, ", ")+"]", spec)
	all, problems := Parse(&model.Object{Key: model.Key{Kind: model.KindEnvoyFilter, Namespace: "a", Name: "f"}, Spec: spec})
	return slices.DeleteFunc(all, func(p *Patch) bool { return p == nil }), problems
}

const (
	buffer     = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 5}"
	routerText = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}"
	managerAny = "'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	manager    = "envoy.filters.network.http_connection_manager"
)

// listenerOf is a listener with two HTTP filters and one for what is not HTTP.
func listenerOf(t *testing.T) *listenerv3.Listener {
	l := &listenerv3.Listener{}
	decodeYAML(t, `
name: 0.0.0.0_80
address: {socket_address: {address: 0.0.0.0, port_value: 80}}
listener_filters: [{name: tls}, {name: http}]
filter_chains:
- name: web
  filter_chain_match: {server_names: [a], transport_protocol: raw_buffer, application_protocols: [h2c], destination_port: 80}
  filters: [{name: first}, {name: `+manager+`, typed_config: {`+managerAny+`, stat_prefix: x, rds: {route_config_name: "80", config_source: {ads: {}}}, stream_idle_timeout: 7.5s, http_filters: [{name: one, `+buffer+`}, {name: router, `+routerText+`}]}}]
- {name: other, filters: [{name: tcp}]}
`, l)
	return l
}

// shape tells the names of what is in a listener.
func shape(t *testing.T, l *listenerv3.Listener) string {
	var out []string
	for _, f := range l.GetListenerFilters() {
		out = append(out, f.GetName())
	}
	for _, fc := range l.GetFilterChains() {
		out = append(out, "|", fc.GetName()+":")
		for _, f := range fc.GetFilters() {
			out = append(out, strings.TrimPrefix(f.GetName(), "envoy.filters.network.http_"))
			m := &hcm.HttpConnectionManager{}
			if f.GetTypedConfig().UnmarshalTo(m) == nil {
				for _, h := range m.GetHttpFilters() {
					out = append(out, "/"+h.GetName())
				}
			}
		}
	}
	return strings.Join(out, " ")
}

// Where a patch of a filter goes, by what it matches.
func TestWhereFiltersGo(t *testing.T) {
	const before = "tls http | web: first connection_manager /one /router | other: tcp"
	http := func(match, op string) string {
		return "{applyTo: HTTP_FILTER, match: {listener: {" + match + "}}, patch: {operation: " + op + ", value: {name: new, " + buffer + "}}}"
	}
	network := func(match, op string) string {
		return "{applyTo: NETWORK_FILTER, match: {listener: {" + match + "}}, patch: {operation: " + op + ", value: {name: new}}}"
	}
	listening := func(filter, op string) string {
		return "{applyTo: LISTENER_FILTER, match: {listener: {" + filter + "}}, patch: {operation: " + op + ", value: {name: new}}}"
	}
	sub := func(name string) string {
		return "filterChain: {filter: {name: " + manager + ", subFilter: {name: " + name + "}}}"
	}
	for name, c := range map[string]struct{ patch, want string }{
		"http add stays before the router": {http("", "ADD"), "tls http | web: first connection_manager /one /new /router | other: tcp"},
		"http first":                       {http("", "INSERT_FIRST"), "tls http | web: first connection_manager /new /one /router | other: tcp"},
		"http before":                      {http(sub("router"), "INSERT_BEFORE"), "tls http | web: first connection_manager /one /new /router | other: tcp"},
		"http before none":                 {http(sub("missing"), "INSERT_BEFORE"), before},
		"http before, unanchored":          {http("", "INSERT_BEFORE"), "tls http | web: first connection_manager /new /one /router | other: tcp"},
		"http after":                       {http(sub("one"), "INSERT_AFTER"), "tls http | web: first connection_manager /one /new /router | other: tcp"},
		"http after none":                  {http(sub("missing"), "INSERT_AFTER"), before},
		"http replace":                     {http(sub("one"), "REPLACE"), "tls http | web: first connection_manager /new /router | other: tcp"},
		"http replace, unanchored":         {http("", "REPLACE"), before},
		"http remove":                      {http(sub("one"), "REMOVE"), "tls http | web: first connection_manager /router | other: tcp"},
		"http remove, unanchored":          {http("", "REMOVE"), before},
		"another listener":                 {http("name: x", "ADD"), before},
		"another port":                     {http("portNumber: 81", "ADD"), before},
		"the port":                         {http("portNumber: 80", "ADD"), "tls http | web: first connection_manager /one /new /router | other: tcp"},
		"network add":                      {network("", "ADD"), "tls http | web: first connection_manager /one /router new | other: tcp new"},
		"network first in a chain":         {network("filterChain: {name: other}", "INSERT_FIRST"), "tls http | web: first connection_manager /one /router | other: new tcp"},
		"network by SNI":                   {network("filterChain: {sni: a}", "INSERT_FIRST"), "tls http | web: new first connection_manager /one /router | other: tcp"},
		"network by other SNI":             {network("filterChain: {sni: b}", "INSERT_FIRST"), before},
		"network by transport":             {network("filterChain: {transportProtocol: tls}", "INSERT_FIRST"), before},
		"network by protocols":             {network("filterChain: {applicationProtocols: 'h2c,h3'}", "INSERT_FIRST"), before},
		"network by the protocol":          {network("filterChain: {applicationProtocols: h2c}", "INSERT_FIRST"), "tls http | web: new first connection_manager /one /router | other: tcp"},
		"network by destination port":      {network("filterChain: {destinationPort: 80}", "INSERT_FIRST"), "tls http | web: new first connection_manager /one /router | other: tcp"},
		"network before":                   {network("filterChain: {filter: {name: tcp}}", "INSERT_BEFORE"), "tls http | web: first connection_manager /one /router | other: new tcp"},
		"network remove":                   {network("filterChain: {filter: {name: first}}", "REMOVE"), "tls http | web: connection_manager /one /router | other: tcp"},
		"network merge for its type":       {"{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {name: web}}}, patch: {operation: INSERT_FIRST, value: {name: new, " + buffer + "}}}, {applyTo: NETWORK_FILTER, patch: {operation: MERGE, value: {name: merged, typed_config: {" + managerAny + ", stat_prefix: z}}}}", "tls http | web: new first merged /one /router | other: tcp"},
		"network replace":                  {network("filterChain: {filter: {name: tcp}}", "REPLACE"), "tls http | web: first connection_manager /one /router | other: new"},
		"listener filter add":              {listening("", "ADD"), "tls http new | web: first connection_manager /one /router | other: tcp"},
		"listener filter before":           {listening("listenerFilter: http", "INSERT_BEFORE"), "tls new http | web: first connection_manager /one /router | other: tcp"},
		"listener filter remove":           {listening("listenerFilter: http", "REMOVE"), "tls | web: first connection_manager /one /router | other: tcp"},
		"chain add":                        {"{applyTo: FILTER_CHAIN, patch: {operation: ADD, value: {name: more}}}", before + " | more:"},
		"chain first is an added one":      {"{applyTo: FILTER_CHAIN, patch: {operation: INSERT_FIRST, value: {name: more}}}", before + " | more:"},
		"chain remove":                     {"{applyTo: FILTER_CHAIN, match: {listener: {filterChain: {name: web}}}, patch: {operation: REMOVE}}", "tls http | other: tcp"},
		"another context":                  {"{applyTo: FILTER_CHAIN, match: {context: GATEWAY}, patch: {operation: REMOVE}}", before},
		"references are inlined":           {"{applyTo: HTTP_FILTER, patch: {operation: INSERT_FIRST, value: {name: ext, config_discovery: {config_source: {ads: {}}, type_urls: [x]}}}}, {applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: ext, " + buffer + "}}}", "tls http | web: first connection_manager /ext /one /router | other: tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			set, problems := patches(t, c.patch)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			l, kept, problems := set.Listener(networking.EnvoyFilter_SIDECAR_OUTBOUND, func() *listenerv3.Listener { return listenerOf(t) })
			if got := shape(t, l); !kept || len(problems) > 0 || got != c.want {
				t.Errorf("%v %v\n got %s\nwant %s", kept, problems, got, c.want)
			}
		})
	}
}

// Settings of a listener's filter are merged into what it has; filters of other names and those without settings stay.
func TestMergeListenerFilter(t *testing.T) {
	const inspector = "'@type': type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
	set, problems := patches(t, "{applyTo: LISTENER_FILTER, match: {listener: {listenerFilter: tls}}, patch: {operation: MERGE, value: {typed_config: {"+inspector+", initial_read_buffer_size: 512}}}}",
		"{applyTo: LISTENER_FILTER, match: {listener: {listenerFilter: http}}, patch: {operation: MERGE, value: {typed_config: {"+inspector+", initial_read_buffer_size: 512}}}}")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l, _, problems := set.Listener(networking.EnvoyFilter_SIDECAR_OUTBOUND, func() *listenerv3.Listener {
		l := listenerOf(t)
		decodeYAML(t, "typed_config: {"+inspector+", enable_ja3_fingerprinting: true}", l.ListenerFilters[0])
		l.ListenerFilters[0].Name = "tls"
		return l
	})
	got := &tlsinspector.TlsInspector{}
	if err := l.ListenerFilters[0].GetTypedConfig().UnmarshalTo(got); err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	if !got.GetEnableJa3Fingerprinting().GetValue() || got.GetInitialReadBufferSize().GetValue() != 512 || shape(t, l) != shape(t, listenerOf(t)) {
		t.Errorf("%v in %s", got, shape(t, l))
	}
	if l.ListenerFilters[1].GetTypedConfig() != nil {
		t.Errorf("the filter without settings has %v", l.ListenerFilters[1])
	}
}

// What is merged is merged by its type: durations and entries of maps are replaced, lists grow.
func TestMerge(t *testing.T) {
	set, problems := patches(t,
		"{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: "+manager+"}}}}, patch: {operation: MERGE, value: {typed_config: {"+managerAny+", stream_idle_timeout: 3s, upgrade_configs: [{upgrade_type: x}]}}}}",
		"{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: "+manager+", subFilter: {name: one}}}}}, patch: {operation: MERGE, value: {name: renamed, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 9}}}}",
	)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l, _, problems := set.Listener(networking.EnvoyFilter_GATEWAY, func() *listenerv3.Listener { return listenerOf(t) })
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m := &hcm.HttpConnectionManager{}
	if err := l.GetFilterChains()[0].GetFilters()[1].GetTypedConfig().UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	text := protojson.Format(m)
	if d := m.GetStreamIdleTimeout().AsDuration(); d.Seconds() != 3 || len(m.GetUpgradeConfigs()) != 1 || !strings.Contains(text, `"maxRequestBytes":`) || !strings.Contains(text, "9") || m.GetHttpFilters()[0].GetName() != "renamed" {
		t.Errorf("%s", text)
	}
}

// A filter that is on demand of a route stays so until a patch gives it settings, or puts in another filter or changes its
// settings, which may have another route chosen. What somebody disabled stays so.
func TestFiltersOnDemand(t *testing.T) {
	const (
		faultName  = "envoy.filters.http.fault"
		faultText  = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}"
		corsText   = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}"
		authzText  = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
		users      = "users" // a filter of an EnvoyFilter that brought it disabled
		usersFault = "users' fault"
	)
	of := func(name, value string) string {
		return "{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: " + manager + ", subFilter: {name: " + name + "}}}}}, patch: {" + value + "}}"
	}
	for name, c := range map[string]struct {
		patch    string
		disabled []string
	}{
		"settings":          {of(faultName, "operation: MERGE, value: {"+faultText+"}"), []string{"envoy.filters.http.cors", users, usersFault}},
		"no settings":       {of(faultName, "operation: MERGE, value: {name: "+faultName+"}"), []string{faultName, "envoy.filters.http.cors", users, usersFault}},
		"of the router":     {of("router", "operation: MERGE, value: {"+routerText+"}"), []string{faultName, "envoy.filters.http.cors", users, usersFault}},
		"of another one":    {of("authz", "operation: MERGE, value: {"+authzText+", clear_route_cache: true}}"), []string{users, usersFault}},
		"another filter":    {of("router", "operation: INSERT_BEFORE, value: {name: new, "+buffer+"}"), []string{users, usersFault}},
		"and one is off":    {of("router", "operation: INSERT_BEFORE, value: {name: new, "+buffer+"}") + ", " + of(faultName, "operation: MERGE, value: {disabled: true}"), []string{faultName, users, usersFault}},
		"one goes":          {of("missing", "operation: REMOVE"), []string{faultName, "envoy.filters.http.cors", users, usersFault}},
		"of the connection": {"{applyTo: NETWORK_FILTER, patch: {operation: INSERT_FIRST, value: {name: new}}}", []string{faultName, "envoy.filters.http.cors", users, usersFault}},
	} {
		t.Run(name, func(t *testing.T) {
			set, problems := patches(t, c.patch)
			l, _, further := set.Listener(networking.EnvoyFilter_GATEWAY, func() *listenerv3.Listener {
				l := listenerOf(t)
				f := l.GetFilterChains()[0].GetFilters()[1]
				m := managerOf(t, f)
				var filters []*hcm.HttpFilter
				for _, text := range []string{
					"{name: authz, " + authzText + "}}", "{name: " + users + ", disabled: true, " + buffer + "}", "{name: \"" + usersFault + "\", disabled: true, " + faultText + "}",
					"{name: " + faultName + ", disabled: true, " + faultText + "}", "{name: envoy.filters.http.cors, disabled: true, " + corsText + "}",
				} {
					h := &hcm.HttpFilter{}
					decodeYAML(t, text, h)
					filters = append(filters, h)
				}
				m.HttpFilters = append(filters, m.GetHttpFilters()[1])
				packed, err := anypb.New(m)
				if err != nil {
					t.Fatal(err)
				}
				f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
				return l
			})
			if len(problems)+len(further) > 0 {
				t.Fatal(problems, further)
			}
			filters := l.GetFilterChains()[0].GetFilters()
			at := slices.IndexFunc(filters, func(f *listenerv3.Filter) bool { return f.GetName() == manager })
			disabled := map[string]bool{}
			for _, h := range managerOf(t, filters[at]).GetHttpFilters() {
				if h.GetDisabled() {
					disabled[h.GetName()] = true
				}
			}
			want := map[string]bool{}
			for _, name := range c.disabled {
				want[name] = true
			}
			if !maps.Equal(disabled, want) {
				t.Errorf("%v are disabled, want %v", disabled, want)
			}
		})
	}
}

func managerOf(t *testing.T, f *listenerv3.Filter) *hcm.HttpConnectionManager {
	t.Helper()
	m := &hcm.HttpConnectionManager{}
	if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A patch that fails, or leaves what Envoy's API forbids, has no effect, and those beside it have theirs.
func TestWhatFailsHarmsOnlyItself(t *testing.T) {
	for name, bad := range map[string]string{
		"forbidden":     "{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: -1s, alt_stat_name: bad}}}",
		"forbidden Any": "{applyTo: CLUSTER, patch: {operation: MERGE, value: {alt_stat_name: bad, typed_extension_protocol_options: {x: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer}}}}}",
	} {
		set, problems := patches(t, bad, "{applyTo: CLUSTER, match: {cluster: {service: s.a, portNumber: 80, subset: v1}}, patch: {operation: MERGE, value: {connect_timeout: 3s}}}")
		if slices.ContainsFunc(problems, func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
			t.Fatal(problems)
		}
		cl, kept, problems := set.Cluster(networking.EnvoyFilter_SIDECAR_OUTBOUND, ClusterPlace{[]string{"s.a"}, 80, "v1"}, func() *clusterv3.Cluster { return &clusterv3.Cluster{Name: "c"} })
		if !kept || cl.GetAltStatName() != "" || cl.GetConnectTimeout().GetSeconds() != 3 || len(problems) != 1 || problems[0].Field != "spec.configPatches[0].patch" {
			t.Errorf("%s: %v %v", name, cl, problems)
		}
	}
	wrong := "{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: " + manager + ", subFilter: {name: one}}}}}, patch: {operation: MERGE, value: {" + routerText + "}}}"
	missing := "{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: ext, config_discovery: {config_source: {ads: {}}, type_urls: [x]}}}}"
	set, _ := patches(t, wrong, missing)
	l, _, problems := set.Listener(networking.EnvoyFilter_SIDECAR_OUTBOUND, func() *listenerv3.Listener { return listenerOf(t) })
	if got := shape(t, l); len(problems) != 2 || got != shape(t, listenerOf(t)) {
		t.Errorf("%v %s", problems, got)
	}
}

// What is matched of clusters and routes.
func TestMatches(t *testing.T) {
	at := ClusterPlace{[]string{"s.a"}, 80, "v1"}
	for match, want := range map[string]bool{
		"{}": true, "{name: outbound|80|v1|s.a}": true, "{name: x}": false, "{service: s.a}": true, "{service: s.b}": false,
		"{portNumber: 80}": true, "{portNumber: 81}": false, "{subset: v1}": true, "{subset: v2}": false,
	} {
		set, _ := patches(t, "{applyTo: CLUSTER, match: {cluster: "+match+"}, patch: {operation: REMOVE}}")
		_, kept, _ := set.Cluster(networking.EnvoyFilter_GATEWAY, at, func() *clusterv3.Cluster { return &clusterv3.Cluster{Name: "outbound|80|v1|s.a"} })
		if kept == want {
			t.Errorf("cluster %s: removed %v", match, !kept)
		}
	}
	place := RoutePlace{Name: "http.80", Ports: []uint32{80, 8080}}
	for match, want := range map[string]bool{
		"{}": true, "{name: http.80}": true, "{name: '80'}": false, "{portNumber: 8080}": true, "{portNumber: 81}": false, "{gateway: a/b}": false, "{portName: x}": false,
		"{vhost: {name: 'a:80'}}": true, "{vhost: {name: 'b:80'}}": false, "{vhost: {domainName: a}}": true, "{vhost: {domainName: b}}": false,
	} {
		set, _ := patches(t, "{applyTo: VIRTUAL_HOST, match: {context: GATEWAY, routeConfiguration: "+match+"}, patch: {operation: REMOVE}}")
		_, kept, _ := set.VirtualHost(networking.EnvoyFilter_GATEWAY, place, func() *routev3.VirtualHost { return &routev3.VirtualHost{Name: "a:80", Domains: []string{"a"}} })
		if kept == want {
			t.Errorf("virtual host %s: removed %v", match, !kept)
		}
	}
}

// A Gateway's server is asked for at gateways alone, whatever the context of the patch.
func TestServersAreMatchedAtGateways(t *testing.T) {
	for match, server := range map[string]RoutePlace{"{gateway: a/b}": {Gateway: "a/b"}, "{portName: https}": {PortName: "https"}} {
		set, _ := patches(t, "{applyTo: VIRTUAL_HOST, match: {routeConfiguration: "+match+"}, patch: {operation: REMOVE}}")
		for _, c := range []struct {
			context Context
			at      RoutePlace
			removed bool
		}{
			{networking.EnvoyFilter_GATEWAY, server, true}, {networking.EnvoyFilter_GATEWAY, RoutePlace{}, false}, {networking.EnvoyFilter_SIDECAR_OUTBOUND, RoutePlace{}, true},
		} {
			_, kept, _ := set.VirtualHost(c.context, c.at, func() *routev3.VirtualHost { return &routev3.VirtualHost{Name: "a:80", Domains: []string{"a"}} })
			if kept == c.removed {
				t.Errorf("%s in context %v at %v: removed %v", match, c.context, c.at, !kept)
			}
		}
	}
}

// Routes are changed and removed before others are added, whichever patch stands first.
func TestRoutesAreChangedBeforeOthersAreAdded(t *testing.T) {
	on := func(route, op, value string) string {
		return "{applyTo: HTTP_ROUTE, match: {routeConfiguration: {vhost: {route: {" + route + "}}}}, patch: {operation: " + op + value + "}}"
	}
	added := ", value: {name: new, match: {prefix: /new}, direct_response: {status: 418}}"
	for name, c := range map[string]struct {
		patches []string
		want    string
	}{
		"what is added is not removed":        {[]string{on("", "ADD", added), on("name: new", "REMOVE", "")}, "a b new"},
		"what is added is not changed":        {[]string{on("", "INSERT_FIRST", added), on("", "MERGE", ", value: {name: x}")}, "new x x"},
		"nothing goes beside what is no more": {[]string{on("name: a", "INSERT_BEFORE", added), on("name: a", "REMOVE", "")}, "b"},
		"but in the order of the adding ones": {[]string{on("name: b", "INSERT_BEFORE", added), on("name: new", "INSERT_AFTER", ", value: {name: after, match: {prefix: /}, direct_response: {status: 418}}")}, "a new after b"},
	} {
		t.Run(name, func(t *testing.T) {
			set, problems := patches(t, c.patches...)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			vh, _, problems := set.VirtualHost(networking.EnvoyFilter_SIDECAR_OUTBOUND, RoutePlace{}, func() *routev3.VirtualHost {
				vh := &routev3.VirtualHost{}
				decodeYAML(t, "{name: h, domains: [h], routes: [{name: a, match: {prefix: /a}, direct_response: {status: 200}}, {name: b, match: {prefix: /b}, direct_response: {status: 200}}]}", vh)
				return vh
			})
			var got []string
			for _, r := range vh.GetRoutes() {
				got = append(got, r.GetName())
			}
			if strings.Join(got, " ") != c.want || len(problems) > 0 {
				t.Errorf("%v %v, want %s", got, problems, c.want)
			}
		})
	}
}

// One rule of sense each.
func TestParse(t *testing.T) {
	for item, want := range map[string]string{
		"{patch: {operation: ADD, value: {}}}":                                                                                               ".applyTo: write what",
		"{applyTo: CLUSTER, patch: {value: {}}}":                                                                                             ".patch.operation: there is none",
		"{applyTo: ROUTE_CONFIGURATION, patch: {operation: INSERT_FIRST, value: {}}}":                                                        ".patch.operation: INSERT_FIRST is not possible for ROUTE_CONFIGURATION",
		"{applyTo: CLUSTER, patch: {operation: MERGE}}":                                                                                      ".patch.value: there is no value",
		"{applyTo: CLUSTER, patch: {operation: MERGE, value: {name: 5}}}":                                                                    ".patch.value: it is no envoy.config.cluster.v3.Cluster",
		"{applyTo: CLUSTER, patch: {operation: MERGE, value: {nothing: 5}}}":                                                                 ".patch.value: the API of Envoy has no such field",
		"{applyTo: CLUSTER, patch: {operation: ADD, value: {name: x, connect_timeout: -1s}}}":                                                ".patch.value: Envoy's API forbids it",
		"{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: -1s}}}":                                                       ".patch.value: Envoy's API forbids it, so the patch has no effect: invalid Cluster.ConnectTimeout",
		"{applyTo: CLUSTER, patch: {operation: MERGE, value: {lb_policy: 99}}}":                                                              ".patch.value: Envoy's API forbids it, so the patch has no effect: invalid Cluster.LbPolicy",
		"{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}":                                                              ".match: a match of a listener says nothing of CLUSTER",
		"{applyTo: LISTENER, match: {cluster: {}}, patch: {operation: REMOVE}}":                                                              ".match: a match of a cluster says nothing of LISTENER",
		"{applyTo: HTTP_ROUTE, match: {cluster: {}}, patch: {operation: REMOVE}}":                                                            ".match: a match of a cluster says nothing of HTTP_ROUTE",
		"{applyTo: BOOTSTRAP, patch: {operation: MERGE_AND_REPLACE_LIST, value: {}}}":                                                        ".patch.operation: MERGE_AND_REPLACE_LIST is not possible for BOOTSTRAP, so the patch has no effect; write MERGE",
		"{applyTo: BOOTSTRAP, match: {cluster: {}}, patch: {operation: MERGE, value: {}}}":                                                   ".match: a match of a cluster says nothing of BOOTSTRAP",
		"{applyTo: CLUSTER, match: {context: WAYPOINT}, patch: {operation: REMOVE}}":                                                         ".match.context: there are no waypoints",
		"{applyTo: HTTP_FILTER, patch: {operation: ADD, filterClass: AUTHZ, value: {name: x, " + buffer + "}}}":                              ".patch.filterClass: it has no effect",
		"{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: istio.stats, " + buffer + "}}}":                                        "filter istio.stats is of Istio's own Envoy",
		"{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: istio.metadata_exchange}}}}, patch: {operation: REMOVE}}": "filter istio.metadata_exchange is of Istio's own Envoy",
		"{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {subFilter: {name: istio.alpn}}}}}, patch: {operation: REMOVE}}":    "filter istio.alpn is of Istio's own Envoy",
		"{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: x, typed_config: {'@type': type.googleapis.com/none.Such}}}}":          ".patch.value: it is no envoy",
	} {
		_, problems := patches(t, item)
		if len(problems) != 1 || !strings.Contains(strings.TrimPrefix(problems[0].Field, "spec.configPatches[0]")+": "+problems[0].Message, want) {
			t.Errorf("%s: %v, want %s", item, problems, want)
		}
	}
}

// MERGE lets lists grow, MERGE_AND_REPLACE_LIST puts the patch's in their place, and neither changes what
// other messages share with the one that is patched.
func TestListsAreMerged(t *testing.T) {
	shared := append(make([]string, 0, 9), "a", "b")
	for op, want := range map[string][]string{"MERGE": {"a", "b", "x"}, "MERGE_AND_REPLACE_LIST": {"x"}} {
		set, problems := patches(t, "{applyTo: VIRTUAL_HOST, patch: {operation: "+op+", value: {request_headers_to_remove: [x]}}}")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		vh, _, _ := set.VirtualHost(networking.EnvoyFilter_SIDECAR_OUTBOUND, RoutePlace{}, func() *routev3.VirtualHost {
			return &routev3.VirtualHost{Name: "v", Domains: []string{"v"}, RequestHeadersToRemove: shared}
		})
		if got := vh.GetRequestHeadersToRemove(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", op, got, want)
		}
		if all := shared[:3]; !slices.Equal(all, []string{"a", "b", ""}) {
			t.Errorf("%s changed what is shared: %q", op, all)
		}
	}
}
