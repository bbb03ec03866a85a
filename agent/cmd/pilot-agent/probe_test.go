package main

import "testing"

// TestTheProbeOfAMachineComesWithItsProxyConfig reads it from the layers that a machine has; one that makes no sense
// keeps no proxy from running. A pod has a kubelet: neither the mesh, nor the injected ProxyConfig, nor an
// annotation makes its agent run anything.
func TestTheProbeOfAMachineComesWithItsProxyConfig(t *testing.T) {
	const (
		mesh    = "etc/istio/config/mesh"
		probe   = "readinessProbe: {periodSeconds: 3, exec: {command: [\"true\"]}}"
		inMesh  = "defaultConfig: {" + probe + "}"
		podInfo = "etc/istio/pod/"
	)
	for name, c := range map[string]struct {
		files  map[string]string
		env    map[string]string
		probed bool
	}{
		"machine":              {map[string]string{mesh: inMesh}, nil, true},
		"machine by variable":  {nil, map[string]string{"PROXY_CONFIG": "{" + probe + "}"}, true},
		"machine without":      {map[string]string{mesh: "defaultConfig: {}"}, nil, false},
		"machine, no sense":    {map[string]string{mesh: "defaultConfig: {readinessProbe: {httpGet: {}}}"}, nil, false},
		"pod, by the mesh":     {map[string]string{mesh: inMesh, podInfo + "labels": "a=\"b\"\n"}, nil, false},
		"pod, by variable":     {map[string]string{podInfo + "labels": ""}, map[string]string{"PROXY_CONFIG": "{" + probe + "}"}, false},
		"pod, by annotation":   {map[string]string{podInfo + "annotations": "proxy.istio.io/config=\"readinessProbe: {exec: {command: [x]}}\"\n"}, nil, false},
		"pod without its info": {map[string]string{mesh: inMesh}, map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, c.files)
			env := map[string]string{"INSTANCE_IP": "10.0.0.1"}
			for k, v := range c.env {
				env[k] = v
			}
			cfg, err := config(t, root, "sidecar", proxyFlags{}, env)
			if err != nil {
				t.Fatal(err)
			}
			if (cfg.Probe != nil) != c.probed || c.probed && cfg.Probe.PeriodSeconds != 3 {
				t.Errorf("probe %+v", cfg.Probe)
			}
		})
	}
}
