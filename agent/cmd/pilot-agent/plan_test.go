package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/agent"
)

// A dry run tells how Envoy would be started, and leaves nothing behind.
func TestADryRunTellsAndDoesNothing(t *testing.T) {
	root := t.TempDir()
	args := []string{"proxy", "sidecar", "--dry-run", "--root", root}
	environ := []string{
		"INSTANCE_IP=10.1.2.3", "POD_NAME=p", "POD_NAMESPACE=ns", "CA_ADDR=ca:15012",
		"PROXY_CONFIG=concurrency: 3\ndiscoveryAddress: istiod:15010\nterminationDrainDuration: 7s\nbinaryPath: /no/envoy",
	}
	cmd := newRootCommand(args, environ, nil)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	var p agent.Plan
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if p.Envoy.Program != "/no/envoy" || p.Envoy.Drain != "7s" || !slices.Contains(p.Envoy.Arguments, "3") || !p.Envoy.DrainInboundOnly {
		t.Errorf("Envoy: %+v", p.Envoy)
	}
	if plain, secure := (agent.ServerPlan{Address: "istiod:15010"}), (agent.ServerPlan{Address: "ca:15012", TLS: true}); p.ControlPlane != plain || p.CA != secure {
		t.Errorf("control plane %+v, CA %+v", p.ControlPlane, p.CA)
	}
	var start struct {
		Node struct {
			ID string `json:"id"`
		} `json:"node"`
	}
	if err := json.Unmarshal(p.Bootstrap, &start); err != nil || start.Node.ID != "sidecar~10.1.2.3~p.ns~ns.svc.cluster.local" {
		t.Errorf("bootstrap of %q: %v", start.Node.ID, err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("it left %v: %v", left, err)
	}
}

// Outside of a pod nothing says what the pod is called, and a dry run does without.
func TestADryRunNeedsNoPod(t *testing.T) {
	for _, kind := range []string{"sidecar", "router"} {
		root := t.TempDir()
		cmd := newRootCommand(nil, nil, nil)
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(io.Discard)
		cmd.SetArgs([]string{"proxy", kind, "--dry-run", "--root", root})
		if err := cmd.Execute(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if want := "~pod.default~default.svc.cluster.local"; !strings.Contains(out.String(), want) {
			t.Errorf("%s: no node ends in %s:\n%s", kind, want, out.String())
		}
	}
}
