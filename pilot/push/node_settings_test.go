package push

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestConnections reads what a proxy's own ProxyConfig says, and leaves out what Envoy does not take.
func TestConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		says map[string]any
		kind model.ProxyType
		want model.Connections
	}{
		"as written": {
			map[string]any{"httpIdleTimeout": "1h30m", "httpMergeSlashes": false, "httpMaxConcurrentStreams": 7, "later": true},
			model.SidecarProxy,
			model.Connections{Idle: model.Timeout{Set: true, For: 90 * time.Minute}, MergeSlashes: model.Choice{Set: true}, MaxStreams: 7},
		},
		"out of bounds": {
			map[string]any{"http2InitialStreamWindowSize": 1, "listenerPerConnectionBufferLimitBytes": -1, "httpMaxConnectionDuration": "0s"},
			model.SidecarProxy,
			model.Connections{},
		},
		"edge at a sidecar": {map[string]any{"profile": "EDGE"}, model.SidecarProxy, model.Connections{}},
		"edge at a router": {
			map[string]any{"profile": "EDGE", "httpRequestTimeout": "0s", "httpMergeSlashes": false},
			model.RouterProxy,
			model.Connections{
				ListenerBuffer: 32768, ClusterBuffer: 32768, MaxStreams: 100, StreamWindow: 65536, ConnectionWindow: 1048576,
				Idle: model.Timeout{Set: true, For: time.Hour}, Request: model.Timeout{Set: true}, StreamIdle: model.Timeout{Set: true, For: 5 * time.Minute},
				RequestHeaders: model.Timeout{Set: true, For: time.Minute}, MergeSlashes: model.Choice{Set: true},
				Underscores: "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST", EscapedSlashes: "UNESCAPE_AND_REDIRECT",
			},
		},
	} {
		s, err := structpb.NewStruct(tc.says)
		if err != nil {
			t.Fatal(err)
		}
		if got := connections(s, tc.kind); got == nil || *got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
	if got := connections(nil, model.RouterProxy); got != nil {
		t.Errorf("nothing said: got %+v", got)
	}
	odd, err := structpb.NewStruct(map[string]any{"httpIdleTimeout": "soon"})
	if err != nil {
		t.Fatal(err)
	}
	if got := connections(odd, model.RouterProxy); got != nil {
		t.Errorf("no duration: got %+v", got)
	}
}

// TestLogService reads whether a proxy has the cluster of an access log service, of nodes as the agent writes them.
func TestLogService(t *testing.T) {
	bootstrap := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("../../agent/bootstrap/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Node json.RawMessage }
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		return file.Node
	}
	with := func(config string) []byte {
		return []byte(`{"id": "sidecar~10.0.0.1~a.default~default.svc.cluster.local", "metadata": {"PROXY_CONFIG": ` + config + `}}`)
	}
	for name, tc := range map[string]struct {
		node []byte
		want bool
	}{
		"the agent's, with a service": {bootstrap("everything.json"), true},
		"the agent's, without":        {bootstrap("sidecar.json"), false},
		"no address":                  {with(`{"envoyAccessLogService": {"tlsSettings": {"mode": "SIMPLE"}}}`), false},
		"not what it should be":       {with(`{"envoyAccessLogService": "als:15000"}`), false},
		"an odd address":              {with(`{"envoyAccessLogService": {"address": 15000}}`), false},
	} {
		n := &core.Node{}
		if err := protojson.Unmarshal(tc.node, n); err != nil {
			t.Fatal(name, err)
		}
		got, err := ParseNode(n)
		if err != nil {
			t.Fatal(name, err)
		}
		if got.LogService != tc.want {
			t.Errorf("%s: %v, want %v", name, got.LogService, tc.want)
		}
	}
}
