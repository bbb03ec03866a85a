package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// injectorCluster is a cluster that is asked for what the webhook goes by there.
type injectorCluster struct {
	core    kubernetes.Interface
	dynamic dynamic.Interface
}

func (k *kubeInject) reachInjector() (*injectorCluster, error) {
	config, err := k.rest()
	if err != nil {
		return nil, err
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &injectorCluster{core, all}, nil
}

// setting gives a key of a ConfigMap.
func (c *injectorCluster) setting(ctx context.Context, namespace, name, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	found, err := c.core.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s of %s: %w", name, namespace, err)
	}
	return []byte(found.Data[key]), nil
}

// proxyConfigs gives the ProxyConfigs of all namespaces; none where the cluster does not know the kind.
func (c *injectorCluster) proxyConfigs(ctx context.Context) ([]*model.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	found, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "proxyconfigs"}).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the ProxyConfigs of the cluster: %w", err)
	}
	text, err := json.Marshal(found)
	if err != nil {
		return nil, err
	}
	return proxyConfigsOf(text, "the cluster", ""), nil
}

// proxyConfigsOf gives the ProxyConfigs of a text; namespace is that of such as name none.
func proxyConfigsOf(text []byte, name, namespace string) []*model.Object {
	if !bytes.Contains(text, []byte(model.KindProxyConfig)) {
		return nil
	}
	all, _ := file.DecodeIn(namespace, text, name) // of what is wrong with other objects nothing is asked here
	return slices.DeleteFunc(all, func(o *model.Object) bool { return o.Kind != model.KindProxyConfig })
}

// laidOver gives objects, those of the second list in the place of those of the first with the same key.
func laidOver(first, second []*model.Object) []*model.Object {
	return append(slices.DeleteFunc(first, func(o *model.Object) bool {
		return slices.ContainsFunc(second, func(s *model.Object) bool { return s.Key == o.Key })
	}), second...)
}
