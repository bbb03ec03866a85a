package main

import (
	"maps"
	"testing"
)

// TestTheLabelsOfAMachineAreThoseOfItsEnvironment has a machine, and a pod, whose labels are its kubelet's word.
func TestTheLabelsOfAMachineAreThoseOfItsEnvironment(t *testing.T) {
	const said = `{"app":"db","version":"v1"}`
	for name, c := range map[string]struct {
		files map[string]string
		text  string
		want  map[string]string
	}{
		"machine":           {nil, said, map[string]string{"app": "db", "version": "v1"}},
		"machine, no sense": {nil, `{"app":7}`, map[string]string{}},
		"machine without":   {nil, "", map[string]string{}},
		"pod":               {map[string]string{"etc/istio/pod/labels": "app=\"web\"\n"}, said, map[string]string{"app": "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, c.files)
			cfg, err := config(t, root, "sidecar", proxyFlags{}, map[string]string{"INSTANCE_IP": "10.0.0.1", "ISTIO_METAJSON_LABELS": c.text})
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(cfg.Node.Labels, c.want) {
				t.Errorf("labels %v, want %v", cfg.Node.Labels, c.want)
			}
		})
	}
}
