package resolve

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// What Istio does with the same is in its mergeLogs, and in AccessLogging, of which an empty result leads to the
// mesh's file (pilot/pkg/model/telemetry.go).
func TestAccessLogsAreMergedAsIstioDoes(t *testing.T) {
	const client, server = telemetryapi.WorkloadMode_CLIENT, telemetryapi.WorkloadMode_SERVER
	entry := func(disabled bool, mode telemetryapi.WorkloadMode, providers ...string) *telemetryapi.AccessLogging {
		e := &telemetryapi.AccessLogging{}
		if disabled {
			e.Disabled = wrapperspb.Bool(true)
		}
		if mode != telemetryapi.WorkloadMode_CLIENT_AND_SERVER {
			e.Match = &telemetryapi.AccessLogging_LogSelector{Mode: mode}
		}
		for _, p := range providers {
			e.Providers = append(e.Providers, &telemetryapi.ProviderRef{Name: p})
		}
		return e
	}
	on := func(mode telemetryapi.WorkloadMode, providers ...string) *telemetryapi.AccessLogging {
		return entry(false, mode, providers...)
	}
	off := func(mode telemetryapi.WorkloadMode, providers ...string) *telemetryapi.AccessLogging {
		return entry(true, mode, providers...)
	}
	object := func(entries ...*telemetryapi.AccessLogging) *model.Object {
		return &model.Object{Spec: &telemetryapi.Telemetry{AccessLogging: entries}}
	}
	const both = telemetryapi.WorkloadMode_CLIENT_AND_SERVER
	ofClients, ofServers := map[telemetry.Reporter]bool{telemetry.Source: true}, map[telemetry.Reporter]bool{telemetry.Destination: true}
	ofAll := map[telemetry.Reporter]bool{telemetry.Source: true, telemetry.Destination: true}
	for _, c := range []struct {
		name           string
		file           bool
		defaults       []string
		objects        []*model.Object
		client, server []string
		service        map[telemetry.Reporter]bool // whose logs go to the mesh's access log service as well
	}{
		{name: "nothing", service: ofAll},
		{name: "file", file: true, client: []string{"envoy"}, server: []string{"envoy"}, service: ofAll},
		{name: "defaults", file: true, defaults: []string{"a"}, client: []string{"a"}, server: []string{"a"}},
		{name: "an object without access logs", defaults: []string{"a"}, objects: []*model.Object{object()}, client: []string{"a"}, server: []string{"a"}},
		{name: "defaults beside an object for one side", defaults: []string{"a"}, objects: []*model.Object{object(on(client, "b"))}, client: []string{"b"}, service: ofServers},
		{name: "and the file of the mesh", file: true, defaults: []string{"a"}, objects: []*model.Object{object(on(client, "b"))}, client: []string{"b"}, server: []string{"envoy"}, service: ofServers},
		{name: "the file beside an object for one side", file: true, objects: []*model.Object{object(on(server, "b"))}, client: []string{"envoy"}, server: []string{"b"}, service: ofClients},
		{name: "one side off", defaults: []string{"a"}, objects: []*model.Object{object(off(server))}, service: ofClients},
		{name: "one side off, with a file", file: true, defaults: []string{"a"}, objects: []*model.Object{object(off(server))}, client: []string{"envoy"}, service: ofClients},
		{name: "both on, one off after", defaults: []string{"a"}, objects: []*model.Object{object(on(both)), object(off(server))}, client: []string{"a"}},
		{
			name: "off after an entry of the other side", file: true, defaults: []string{"a"},
			objects: []*model.Object{object(on(server, "b"), off(client))}, client: []string{"envoy"}, server: []string{"b"},
			service: ofClients,
		},
		{name: "on after an entry of the other side", defaults: []string{"a"}, objects: []*model.Object{object(on(server, "b"), on(client))}, server: []string{"b"}, service: ofClients},
		{
			name: "off after an entry of the other side, of what both have", defaults: []string{"a"},
			objects: []*model.Object{object(on(both, "a", "b")), object(on(server, "b"), off(client))}, client: []string{"a"}, server: []string{"b"},
		},
		{name: "the last object that names providers decides", objects: []*model.Object{object(on(both, "a")), object(on(client, "b"))}, client: []string{"b"}, server: []string{"a"}},
		{name: "disabled by name", file: true, objects: []*model.Object{object(on(both, "a", "b")), object(off(both, "a"))}},
		{name: "in another case", file: true, defaults: []string{"A"}, objects: []*model.Object{object(on(client, "A", "Envoy")), object(off(server))}, client: []string{"a", "envoy"}, service: map[telemetry.Reporter]bool{}},
		{name: "unknown", defaults: []string{"a"}, objects: []*model.Object{object(on(both)), object(on(both, "unknown"))}, client: []string{"a"}, server: []string{"a"}},
	} {
		mesh := &meshconfig.MeshConfig{DefaultProviders: &meshconfig.MeshConfig_DefaultProviders{AccessLogging: c.defaults}}
		if c.file {
			mesh.AccessLogFile = "/dev/stdout"
		}
		for _, name := range []string{"a", "b"} {
			mesh.ExtensionProviders = append(mesh.ExtensionProviders, &meshconfig.MeshConfig_ExtensionProvider{
				Name: name, Provider: &meshconfig.MeshConfig_ExtensionProvider_EnvoyFileAccessLog{
					EnvoyFileAccessLog: &meshconfig.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider{Path: "/dev/" + name},
				},
			})
		}
		for side, want := range map[telemetry.Reporter][]string{telemetry.Source: c.client, telemetry.Destination: c.server} {
			var got []string
			all, asMesh := logChoiceOf(mesh, c.objects, side)
			for _, chosen := range all {
				got = append(got, chosen.provider)
			}
			if service := c.service[side]; asMesh != service {
				t.Errorf("%s: side %v sends to the mesh's access log service: %v, want %v", c.name, side, asMesh, service)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: side %v logs to %v, want %v", c.name, side, got, want)
			}
		}
	}
}

// An entry that names providers says their filter, or that they have none; one that names none, and has none, leaves it.
func TestFiltersOfAccessLogs(t *testing.T) {
	entry := func(filter string, providers ...string) *model.Object {
		e := &telemetryapi.AccessLogging{}
		if filter != "" {
			e.Filter = &telemetryapi.AccessLogging_Filter{Expression: filter}
		}
		for _, p := range providers {
			e.Providers = append(e.Providers, &telemetryapi.ProviderRef{Name: p})
		}
		return &model.Object{Spec: &telemetryapi.Telemetry{AccessLogging: []*telemetryapi.AccessLogging{e}}}
	}
	mesh := &meshconfig.MeshConfig{AccessLogFile: "/dev/stdout"}
	for _, c := range []struct {
		name    string
		objects []*model.Object
		want    string
	}{
		{"none", []*model.Object{entry("", providerEnvoy)}, ""},
		{"one", []*model.Object{entry("true", providerEnvoy)}, "true"},
		{"of the mesh's own file", []*model.Object{entry("true")}, "true"},
		{"it stays", []*model.Object{entry("true", providerEnvoy), entry("")}, "true"},
		{"a later one replaces it", []*model.Object{entry("true", providerEnvoy), entry("false")}, "false"},
		{"who names providers says it anew", []*model.Object{entry("true", providerEnvoy), entry("", providerEnvoy)}, ""},
	} {
		chosen, _ := logChoiceOf(mesh, c.objects, telemetry.Source)
		if len(chosen) != 1 || chosen[0].expression != c.want {
			t.Errorf("%s: %+v, want one with the filter %q", c.name, chosen, c.want)
		}
	}
}
