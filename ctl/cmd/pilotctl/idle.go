package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// idle tells of what no control plane reports, since only who sees the whole mesh knows it: Gateways that no connected
// gateway serves, and pods of this machine that do not start. silent are the control planes that did not answer.
func idle(ctx context.Context, m reached) (out []model.Problem, silent []error) {
	out, silent = idleGateways(ctx, m)
	if local, ok := m.(*localMesh); ok {
		pods, err := local.Pods()
		if err != nil {
			silent = append(silent, err)
		}
		for _, p := range pods {
			out = append(out, withoutImage(p)...)
		}
	}
	return out, silent
}

// idleGateways finds the Gateways that select no gateway that is connected, to a control plane of whatever revision.
func idleGateways(ctx context.Context, m reached) (out []model.Problem, silent []error) {
	revisions, err := perRevision(ctx, m)
	if err != nil {
		return nil, []error{err}
	}
	gateways, served := map[model.Key]*model.Object{}, map[model.Key]bool{}
	for _, name := range slices.Sorted(maps.Keys(revisions)) {
		mesh, err := readRunning(ctx, revisions[name], string(model.KindGateway))
		if err != nil {
			silent = append(silent, err)
			continue
		}
		for _, o := range mesh.Objects {
			gateways[o.Key] = o
			selector := o.Spec.(*networking.Gateway).GetSelector()
			served[o.Key] = served[o.Key] || slices.ContainsFunc(mesh.Proxies, func(p model.Proxy) bool {
				return p.Type == model.RouterProxy && model.HasLabels(p.Labels, selector)
			})
		}
	}
	if len(silent) > 0 {
		return nil, silent // whose gateways may serve them
	}
	for _, key := range slices.SortedFunc(maps.Keys(gateways), model.Key.Compare) {
		if served[key] {
			continue
		}
		labels := model.LabelSet(gateways[key].Spec.(*networking.Gateway).GetSelector())
		out = append(out, gateways[key].ErrorAt("spec.selector", model.ReasonReference,
			"no gateway that is connected has the labels "+labels+", so nothing is served; deploy one with them, or correct the selector"))
	}
	return out, nil
}

// withoutImage tells which containers of a pod wait for an image that cannot be had.
func withoutImage(p *corev1.Pod) []model.Problem {
	o := &model.Object{Key: model.Key{Kind: model.KindPod, Namespace: p.Namespace, Name: p.Name}}
	var out []model.Problem
	for field, all := range map[string][]corev1.ContainerStatus{"spec.initContainers": p.Status.InitContainerStatuses, "spec.containers": p.Status.ContainerStatuses} {
		for i, c := range all {
			if w := c.State.Waiting; w != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}, w.Reason) {
				out = append(out, o.ErrorAt(fmt.Sprintf("%s[%d].image", field, i), model.ReasonReference, fmt.Sprintf("container %s does not start: %s", c.Name, w.Message)))
			}
		}
	}
	return out
}
