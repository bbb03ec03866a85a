package main

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

func TestSettingsOfTheEnvironment(t *testing.T) {
	for _, test := range []struct {
		name, value string
		want        resolve.Settings
	}{
		{"PILOT_HEADERS_WITH_UNDERSCORES", "", resolve.Settings{}},
		{"PILOT_HEADERS_WITH_UNDERSCORES", "allow", resolve.Settings{}},
		{"PILOT_HEADERS_WITH_UNDERSCORES", "drop", resolve.Settings{Underscores: ir.UnderscoresDropped}},
		{"PILOT_HEADERS_WITH_UNDERSCORES", "reject", resolve.Settings{Underscores: ir.UnderscoresRejected}},
		{"PILOT_NAME_DENIALS", "1", resolve.Settings{NameDenials: true}},
		{"PILOT_ENABLE_QUIC_LISTENERS", "true", resolve.Settings{QUIC: true}},
	} {
		t.Setenv(test.name, test.value)
		var o options
		if err := o.settings(); err != nil || o.Settings != test.want {
			t.Errorf("%s=%s: got %+v, %v, want %+v", test.name, test.value, o.Settings, err, test.want)
		}
		t.Setenv(test.name, "maybe")
		if err := o.settings(); err == nil || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s=maybe: got %v", test.name, err)
		}
		t.Setenv(test.name, "")
	}
}
