package proxyconfig

import (
	"bytes"
	"strings"
	"testing"
)

func TestDiscoveredExtensions(t *testing.T) {
	d, err := ParseDump([]byte(`{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters": [
	  {"ecds_filter": {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "b", "typed_config": {"@type": "type.googleapis.com/x.Wasm"}}},
	  {"ecds_filter": {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "a", "typed_config": {"@type": "type.googleapis.com/x.Wasm"}}}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var short, long bytes.Buffer
	if err := d.PrintECDS(&short, Short); err != nil || squeezed(strings.TrimSpace(short.String())) != "ECDS NAME TYPE\na x.Wasm\nb x.Wasm" {
		t.Errorf("%v: %q", err, squeezed(short.String()))
	}
	if err := d.PrintECDS(&long, JSON); err != nil || !strings.Contains(long.String(), `"ecdsFilters"`) {
		t.Errorf("%v: %s", err, long.String())
	}
}
