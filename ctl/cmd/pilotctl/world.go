package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxystatus"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// imagesConfigMap names the ConfigMap of the alias list, in the root namespace; its key aliases
// holds a YAML map from image to image.
const imagesConfigMap = "pilothouse-images"

// bookinfoAliases lead the images of Istio's own sample to the ones that `make images` builds.
func bookinfoAliases() map[string]string {
	out := map[string]string{}
	for _, s := range []string{"productpage-v1", "details-v1", "reviews-v1", "reviews-v2", "reviews-v3", "ratings-v1"} {
		out["docker.io/istio/examples-bookinfo-"+s] = "docker.io/pilothouse/examples-bookinfo-" + s + ":dev"
	}
	return out
}

// world is what `up` itself reads of the directories before anything runs.
type world struct {
	aliases map[string]string
	mesh    *meshconfig.MeshConfig
}

// readDirectories looks for the mesh's configuration and the alias list. What is wrong with other
// objects is reported when the mesh runs.
func readDirectories(dirs []string) (*world, error) {
	w := &world{aliases: bookinfoAliases(), mesh: model.DefaultMeshConfig()}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("directory %s cannot be read: %w", dir, err)
		}
		for _, e := range entries {
			if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			data, err := file.Load(path)
			if err != nil {
				continue // reported when the mesh runs
			}
			objects, _ := file.Decode(data, path)
			for _, o := range objects {
				if err := w.take(o); err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
			}
		}
	}
	return w, nil
}

func (w *world) take(o *model.Object) error {
	switch spec := o.Spec.(type) {
	case *meshconfig.MeshConfig:
		w.mesh = spec
	case *corev1.ConfigMap:
		if o.Name != imagesConfigMap || o.Namespace != model.RootNamespace {
			return nil
		}
		var more map[string]string
		if err := yaml.UnmarshalStrict([]byte(spec.Data["aliases"]), &more); err != nil {
			return fmt.Errorf("%s data.aliases: a YAML map from image to image is expected: %w", o.Key, err)
		}
		for from, to := range more {
			w.aliases[from] = to
		}
	}
	return nil
}

// envoyPath is where the proxy's image has its Envoy.
const envoyPath = "/usr/local/bin/envoy"

// injector gives what adds the sidecar to a pod. envoy, where it is set, takes the place of the
// image's own.
func (w *world) injector(envoy string) (func(*corev1.Pod, *corev1.Namespace) (*corev1.Pod, bool, error), error) {
	// A local mesh revokes nothing, and its volumes are not mounted within one another.
	values := []byte("global: {mountCACRL: false}")
	in, err := inject.New(inject.Options{Mesh: w.mesh, NativeSidecar: true, Values: values})
	if err != nil {
		return nil, err
	}
	if envoy != "" {
		if envoy, err = filepath.Abs(envoy); err != nil {
			return nil, err
		}
	}
	return func(pod *corev1.Pod, ns *corev1.Namespace) (*corev1.Pod, bool, error) {
		out, injected, err := in.Pod(pod, ns, inject.Owner{})
		if err == nil && injected && envoy != "" {
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
