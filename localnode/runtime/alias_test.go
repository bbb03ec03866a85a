package runtime

import "testing"

func TestAliasStandsForAllTagsOrForOne(t *testing.T) {
	i := &Images{aliases: map[string]string{
		"docker.io/istio/examples-bookinfo-reviews-v1": "ours/reviews:dev",
		"nginx:1.27":                "ours/nginx:dev",
		"registry.example:5000/app": "ours/app:dev",
	}}
	for image, want := range map[string]string{
		"docker.io/istio/examples-bookinfo-reviews-v1:1.20.1": "ours/reviews:dev",
		"istio/examples-bookinfo-reviews-v1":                  "ours/reviews:dev",
		"docker.io/istio/examples-bookinfo-reviews-v2:1.20.1": "",
		"nginx:1.27":                   "ours/nginx:dev",
		"docker.io/library/nginx:1.27": "ours/nginx:dev",
		"nginx:1.26":                   "",
		"registry.example:5000/app:2":  "ours/app:dev",
		"not an image":                 "",
	} {
		if got := i.alias(image); got != want {
			t.Errorf("alias of %q is %q, want %q", image, got, want)
		}
	}
}
