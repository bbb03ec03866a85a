package proxyconfig

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dumpMessage gives a dump with all that is particular about JSON: maps, free structures, messages in an Any
// in an Any, wrappers, durations and bytes.
func dumpMessage(t *testing.T) *adminv3.ConfigDump {
	t.Helper()
	free, err := structpb.NewStruct(map[string]any{"alpn_override": "x", "a_list": []any{map[string]any{"in_it": 1.5}}})
	if err != nil {
		t.Fatal(err)
	}
	metadata := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"my_filter": free}}
	hcm := &hcmv3.HttpConnectionManager{StatPrefix: "x_y", RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		VirtualHosts: []*routev3.VirtualHost{{
			Name: "all", Domains: []string{"*"},
			TypedPerFilterConfig: map[string]*anypb.Any{
				"my_lua": packed(t, &luav3.LuaPerRoute{Override: &luav3.LuaPerRoute_SourceCode{SourceCode: &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte("a_b")}}}}),
				"free":   packed(t, free),
			},
		}},
	}}}
	return &adminv3.ConfigDump{Configs: []*anypb.Any{
		packed(t, &adminv3.ListenersConfigDump{DynamicListeners: []*adminv3.ListenersConfigDump_DynamicListener{{
			Name: "l", ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{Listener: packed(t, &listenerv3.Listener{
				Name: "l", Metadata: metadata, PerConnectionBufferLimitBytes: wrapperspb.UInt32(7),
				FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
					Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, hcm)},
				}}}},
			})},
		}}}),
		packed(t, &adminv3.ClustersConfigDump{DynamicActiveClusters: []*adminv3.ClustersConfigDump_DynamicCluster{{
			Cluster: packed(t, &clusterv3.Cluster{
				Name: "c", Metadata: metadata, ConnectTimeout: durationpb.New(1500),
				TypedExtensionProtocolOptions: map[string]*anypb.Any{"an_extension": packed(t, free)},
			}),
		}}}),
	}}
}

func TestJSONIsThatOfProtojsonWhateverNamesCameIn(t *testing.T) {
	m := dumpMessage(t)
	wantJSON, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(wantJSON, &want); err != nil {
		t.Fatal(err)
	}
	for _, names := range []bool{true, false} {
		in, err := protojson.MarshalOptions{UseProtoNames: names}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := protoJSON(in, &adminv3.ConfigDump{})
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("names of the .proto files %t: got\n%s\nwant\n%s", names, out, wantJSON)
		}
	}
}

func TestWhatIsUnknownStaysAsItIs(t *testing.T) {
	for in, want := range map[string]string{
		`{"configs":[{"@type":"type.googleapis.com/of.Nobody","a_b":{"c_d":[1]}}]}`: `{"configs":[{"@type":"type.googleapis.com/of.Nobody","a_b":{"c_d":[1]}}]}`,
		`{"new_field":{"a_b":1}}`: `{"new_field":{"a_b":1}}`,
		`{"configs":null}`:        `{"configs":null}`,
		`{"configs":[{"error_state":1,"@type":"type.googleapis.com/envoy.admin.v3.UpdateFailureState","last_update_attempt":"x"}]}`: `{"configs":[{"error_state":1,"@type":"type.googleapis.com/envoy.admin.v3.UpdateFailureState","lastUpdateAttempt":"x"}]}`,
		`{"configs":[{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"x"}}]}`:                                   `{"configs":[{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"x"}}]}`,
		`{"configs":["<&>",12345678901234567890]}`: `{"configs":["<&>",12345678901234567890]}`,
	} {
		got, err := protoJSON([]byte(in), &adminv3.ConfigDump{})
		if err != nil || string(got) != want {
			t.Errorf("%s\ngot  %s %v\nwant %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "{", `{"configs":[`, `{} {}`, `{"configs":[{"@type":1`} {
		if got, err := protoJSON([]byte(in), &adminv3.ConfigDump{}); err == nil {
			t.Errorf("%q gives %s", in, got)
		}
	}
}

func TestMessagesHaveNoType(t *testing.T) {
	in, err := protojson.Marshal(dumpMessage(t))
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseDump(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(d.Listeners, d.Clusters...) {
		if strings.HasPrefix(string(r.Raw), `{"@type"`) || !json.Valid(r.Raw) {
			t.Errorf("%s: %s", r.Name, r.Raw)
		}
	}
}

func TestInlineRoutesNameTheirCluster(t *testing.T) {
	for name, c := range map[string]struct{ routes, want string }{
		"one cluster":        {`{"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"inbound|9080||"}}]}`, "Cluster: inbound|9080||"},
		"a special cluster":  {`{"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"PassthroughCluster"}}]}`, "PassthroughCluster"},
		"twice the same":     {`{"domains":["*"],"routes":[{"match":{"path":"/x"},"route":{"cluster":"a"}},{"match":{"prefix":"/"},"route":{"cluster":"a"}}]}`, "Cluster: a"},
		"two clusters":       {`{"domains":["*"],"routes":[{"match":{"path":"/x"},"route":{"cluster":"a"}},{"match":{"prefix":"/"},"route":{"cluster":"b"}}]}`, "Inline Route: /x, /*"},
		"a redirect as well": {`{"domains":["a","b"],"routes":[{"match":{"path":"/x"},"redirect":{}},{"match":{"prefix":"/"},"route":{"cluster":"a"}}]}`, "Inline Route: a/b /x, /*"},
	} {
		chain := &filterChain{}
		data := `{"filters":[{"typedConfig":{"@type":"x.HttpConnectionManager","routeConfig":{"virtualHosts":[` + c.routes + `]}}}]}`
		if err := json.Unmarshal([]byte(data), chain); err != nil {
			t.Fatal(err)
		}
		if got := chain.destination(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
