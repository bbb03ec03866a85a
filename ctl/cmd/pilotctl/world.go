package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxystatus"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// readObjects calls take with each object in the files of the directories that hold a text.
func readObjects(dirs []string, holds []byte, take func(o *model.Object) error) error {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("directory %s cannot be read: %w", dir, err)
		}
		for _, e := range entries {
			if !isManifest(e.Name()) || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			data, err := file.Load(path)
			if err != nil {
				continue // reported when the mesh runs
			}
			if !bytes.Contains(data, holds) {
				continue
			}
			objects, _ := file.Decode(data, path)
			for _, o := range objects {
				if err := take(o); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
		}
	}
	return nil
}

// envoyPath is where the proxy's image has its Envoy.
const envoyPath = "/usr/local/bin/envoy"

// injector gives what adds the sidecar to a pod. envoy, where it is set, takes the place of the
// image's own.
func injector(envoy string) (func(*corev1.Pod, *corev1.Namespace, localnode.Injection) (*corev1.Pod, bool, error), error) {
	if envoy != "" {
		var err error
		if envoy, err = filepath.Abs(envoy); err != nil {
			return nil, err
		}
	}
	return func(pod *corev1.Pod, ns *corev1.Namespace, by localnode.Injection) (*corev1.Pod, bool, error) {
		// A local mesh revokes nothing, and its volumes are not mounted within one another.
		values := []byte("global: {mountCACRL: false}")
		in, err := inject.New(inject.Options{Mesh: by.Mesh, ProxyConfigs: by.ProxyConfigs, NativeSidecar: true, Values: values})
		if err != nil {
			return nil, false, err
		}
		out, injected, err := in.Pod(pod, ns, inject.Owner{})
		if err == nil && injected && envoy != "" {
			out = out.DeepCopy() // it shares with others what it points to
			mountEnvoy(out, envoy)
		}
		return out, injected, err
	}, nil
}

// mountEnvoy puts the host's Envoy over the image's.
func mountEnvoy(pod *corev1.Pod, envoy string) {
	file := corev1.HostPathFile
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: "envoy-program", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: envoy, Type: &file}},
	})
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if c := &containers[i]; c.Name == "istio-proxy" {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "envoy-program", MountPath: envoyPath, ReadOnly: true})
			}
		}
	}
}

// printPods prints NAME, READY, STATUS, PROXY, IP. PROXY is SYNCED where all types are.
func printPods(ctx context.Context, out io.Writer, m *localMesh) error {
	pods, err := m.Pods()
	if err != nil {
		return err
	}
	states := map[string]string{}
	if data, err := m.control(ctx, "/debug/pilothouse/syncz"); err == nil {
		all, err := proxystatus.Parse(data)
		if err != nil {
			return err
		}
		for _, p := range all {
			states[p.Name] = p.Summary()
		}
	}
	var rows [][]string
	for _, p := range pods {
		ready, total := 0, 0
		for _, cs := range slices.Concat(p.Status.ContainerStatuses, sidecars(p)) {
			total++
			if cs.Ready {
				ready++
			}
		}
		name := p.Name + "." + p.Namespace
		rows = append(rows, []string{
			name, fmt.Sprintf("%d/%d", ready, total), string(p.Status.Phase), cmp.Or(states[name], "-"), p.Status.PodIP,
		})
	}
	return terminal.Table(out, 3, []string{"NAME", "READY", "STATUS", "PROXY", "IP"}, rows)
}

// sidecars gives the statuses of the init containers that stay.
func sidecars(p *corev1.Pod) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		for _, cs := range p.Status.InitContainerStatuses {
			if cs.Name == c.Name {
				out = append(out, cs)
			}
		}
	}
	return out
}
