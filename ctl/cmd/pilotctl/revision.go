package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
)

// defaultRevision is that of a control plane whose pods have no other.
const defaultRevision = "default"

func revisionOf(pod *corev1.Pod) string {
	return cmp.Or(pod.Labels[label.IoIstioRev.Name], defaultRevision)
}

// perRevision gives a mesh once for each revision of its control plane: each makes the proxies that are connected to
// it what they run, of objects of its own.
func perRevision(ctx context.Context, m reached) (map[string]reached, error) {
	in, ok := m.(*clusterMesh)
	if !ok {
		return map[string]reached{defaultRevision: m}, nil
	}
	pods, err := in.controlPlanes(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]reached{}
	for i := range pods {
		one := *in
		one.revision = revisionOf(&pods[i])
		out[one.revision] = &one
	}
	return out, nil
}

// ofRevision gives the mesh of one revision, which has to be named where there are several.
func ofRevision(ctx context.Context, m reached, name string) (reached, error) {
	all, err := perRevision(ctx, m)
	if err != nil {
		return nil, err
	}
	names := strings.Join(slices.Sorted(maps.Keys(all)), ", ")
	if name == "" {
		if len(all) > 1 {
			return nil, fmt.Errorf("control planes of several revisions run (%s); name one by --revision", names)
		}
		for _, one := range all {
			return one, nil
		}
	}
	if all[name] == nil {
		return nil, fmt.Errorf("no control plane of revision %s runs; there are %s", name, names)
	}
	return all[name], nil
}
