package cluster

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
)

// controllers names those that the controller manager runs. Who writes the EndpointSlices of a bare cluster
// wants to be the only one.
func (c *cluster) controllers() string {
	if c.cfg.Bare {
		return "*,-endpointslice-controller,-endpoints-controller,-endpointslice-mirroring-controller"
	}
	return "*"
}

// define teaches the API server Istio's kinds, and waits until it knows them.
func (c *cluster) define(ctx context.Context) error {
	c.cfg.Progress("defining Istio's kinds")
	config, err := clientcmd.BuildConfigFromFlags("", c.info().Kubeconfig)
	if err != nil {
		return err
	}
	mesh, err := install.Open(config, c.cfg.Progress)
	if err != nil {
		return err
	}
	objects, err := charts.Release{Chart: charts.Base, Name: "base", Namespace: "istio-system"}.Objects()
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() != "CustomResourceDefinition" })
	if err := mesh.Apply(ctx, objects); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	return poll(ctx, "Istio's kinds", func(context.Context) (bool, error) {
		known := 0
		for _, group := range []string{"networking.istio.io/v1", "security.istio.io/v1"} {
			list, err := client.Discovery().ServerResourcesForGroupVersion(group)
			if err != nil {
				return false, err
			}
			for _, r := range list.APIResources {
				if slices.Contains([]string{"VirtualService", "DestinationRule", "PeerAuthentication"}, r.Kind) && slices.Contains(r.Verbs, "watch") {
					known++
				}
			}
		}
		return known == 3, fmt.Errorf("%d of 3 are known", known)
	})
}
