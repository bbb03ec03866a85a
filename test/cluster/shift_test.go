package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// trafficIsShifted has readers of the page see one version of the reviews, then another, then both, by weights.
func (w *world) trafficIsShifted(ctx context.Context, url string) {
	w.Helper()
	for _, weights := range []map[string]int{{"v1": 100}, {"v3": 100}, {"v1": 50, "v3": 50}} {
		w.shift(ctx, url, weights)
	}
	w.kubectl(ctx, "", "delete", "virtualservice", "reviews")
}

// shift gives the reviews' versions weights, and waits until readers see those versions and no others.
func (w *world) shift(ctx context.Context, url string, weights map[string]int) {
	w.Helper()
	w.kubectl(ctx, routes("reviews", weighted(weights)), "apply", "-f", "-")
	w.versions(ctx, url, slices.Sorted(maps.Keys(weights)))
}

// versions waits until readers of the page see these versions of the reviews and no others.
func (w *world) versions(ctx context.Context, url string, want []string) {
	w.Helper()
	w.until(ctx, fmt.Sprintf("reviews of versions %v", want), func(ctx context.Context) (bool, error) {
		seen, err := w.reviews(ctx, url)
		return err == nil && slices.Equal(slices.Sorted(maps.Keys(seen)), want), fmt.Errorf("versions %v, %v", seen, err)
	})
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
