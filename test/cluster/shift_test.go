package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// trafficIsShifted has readers of the page see one version of the reviews, then another, then both, by weights.
func (w *world) trafficIsShifted(ctx context.Context, url string) {
	w.Helper()
	for _, weights := range []map[string]int64{{"v1": 100}, {"v3": 100}, {"v1": 50, "v3": 50}} {
		var routes []any
		for _, version := range slices.Sorted(maps.Keys(weights)) {
			routes = append(routes, map[string]any{"destination": map[string]any{"host": "reviews", "subset": version}, "weight": weights[version]})
		}
		shifted := virtualService("reviews", map[string]any{"hosts": []any{"reviews"}, "http": []any{map[string]any{"route": routes}}})
		if err := w.mesh.Apply(ctx, []*unstructured.Unstructured{shifted}); err != nil {
			w.Fatal(err)
		}
		w.until(ctx, fmt.Sprintf("reviews by weights %v", weights), func(ctx context.Context) (bool, error) {
			seen, err := w.reviews(ctx, url)
			return err == nil && slices.Equal(slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(weights))), fmt.Errorf("versions %v, %v", seen, err)
		})
	}
	client, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.Fatal(err)
	}
	kind := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	if err := client.Resource(kind).Namespace("default").Delete(ctx, "reviews", metav1.DeleteOptions{}); err != nil {
		w.Error(err)
	}
}

// reviews counts the versions of the reviews on 20 pages.
func (w *world) reviews(ctx context.Context, url string) (map[string]int, error) {
	seen := map[string]int{}
	for range 20 {
		body, err := fetch(ctx, url)
		if err != nil {
			return seen, err
		}
		for _, version := range []string{"v1", "v2", "v3"} {
			if strings.Contains(body, "reviews "+version+" on ") {
				seen[version]++
			}
		}
	}
	return seen, nil
}
