package proxyconfig

import (
	"strings"
	"testing"
	"time"
)

func TestLaterLayersWin(t *testing.T) {
	c, err := Resolve(
		Layer{Source: "mesh file", Mesh: true, Text: "rootNamespace: x\ndefaultConfig:\n  discoveryAddress: mesh:15012\n  concurrency: 3\n  proxyMetadata: {A: mesh, B: mesh}\n  tracing: {zipkin: {address: 'zipkin:9411'}}\n"},
		Layer{Source: "PROXY_CONFIG", Text: `{"discoveryAddress":"env:15012","terminationDrainDuration":"7s","proxyMetadata":{"A":"env"}}`},
		Layer{Source: "annotation", Text: "discovery_address: pod:15012\nproxyStatsMatcher:\n  inclusionRegexps: ['.*x.*']\n"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if c.DiscoveryAddress != "pod:15012" || *c.Concurrency != 3 || c.TerminationDrain != 7*time.Second ||
		c.DrainDuration != 45*time.Second || c.Tracing.Zipkin != "zipkin:9411" || c.AdminPort != 15000 {
		t.Errorf("resolved %+v", c)
	}
	if c.Metadata["A"] != "env" || c.Metadata["B"] != "mesh" {
		t.Errorf("proxyMetadata = %v, want it merged key by key", c.Metadata)
	}
	if len(c.Stats.Regexps) != 1 || c.Raw["discoveryAddress"] != "pod:15012" {
		t.Errorf("resolved %+v", c)
	}
	if _, ok := c.Raw["discovery_address"]; ok {
		t.Error("the merged document holds a field under two names")
	}
}

func TestErrorsNameLayerAndField(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"statusPort: x", "whole number"},
		{"statusPort: 70000", "statusPort: 70000 is no port"},
		{"drainDuration: 45", "duration"},
		{"drainDuration: -1s", "duration"},
		{"proxyMetadata: [a]", "proxyMetadata"},
		{"concurrency: -2", "concurrency"},
		{"{", "yaml"},
	} {
		_, err := Resolve(Layer{Source: "PROXY_CONFIG", Text: tc.text})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "from PROXY_CONFIG") {
			t.Errorf("%s: error %v, want one with %q and the layer", tc.text, err, tc.want)
		}
	}
}

func TestNumbersAsStringsAndNulls(t *testing.T) {
	c, err := Resolve(Layer{Source: "x", Text: `{"statusPort":"15030","concurrency":null,"proxyMetadata":null,"unknownField":{"a":1}}`})
	if err != nil || c.StatusPort != 15030 || c.Concurrency != nil {
		t.Errorf("resolved %+v, %v", c, err)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("discoveryAddress: x:1\nproxyMetadata: {a: b}")
	f.Add("defaultConfig: {tracing: {zipkin: null}}")
	f.Add("a_: 1\n_b: {__: 2}")
	f.Fuzz(func(t *testing.T, text string) {
		for _, mesh := range []bool{false, true} {
			c, err := Resolve(Layer{Source: "fuzz", Text: text, Mesh: mesh})
			if (c == nil) == (err == nil) {
				t.Fatalf("Resolve gave %v and %v", c, err)
			}
		}
	})
}
