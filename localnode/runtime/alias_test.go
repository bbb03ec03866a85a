package runtime

import (
	"errors"
	"testing"
)

func TestAliasStandsForAllTagsOrForOne(t *testing.T) {
	i := &Images{aliases: func() (map[string]string, error) {
		return map[string]string{
			"docker.io/istio/examples-bookinfo-reviews-v1": "ours/reviews:dev",
			"nginx:1.27":                "ours/nginx:dev",
			"registry.example:5000/app": "ours/app:dev",
		}, nil
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
		if got, err := i.alias(image); got != want || err != nil {
			t.Errorf("alias of %q is %q %v, want %q", image, got, err, want)
		}
	}
}

func TestAliasesMayChange(t *testing.T) {
	aliases := map[string]string{}
	i := &Images{aliases: func() (map[string]string, error) { return aliases, nil }}
	if got, err := i.alias("a:1"); got != "" || err != nil {
		t.Errorf("before there is one: %q %v", got, err)
	}
	aliases["a"] = "b"
	if got, err := i.alias("a:1"); got != "b" || err != nil {
		t.Errorf("after one was added: %q %v", got, err)
	}
	i.aliases = func() (map[string]string, error) { return nil, errors.New("no list") }
	if _, err := i.alias("a:1"); err == nil {
		t.Error("a list that cannot be read is none")
	}
}

func TestNamesakeDiffersInHubAndTag(t *testing.T) {
	i := &Images{archives: []*archive{
		{tags: []string{"docker.io/pilothouse/examples-bookinfo-reviews-v1:dev", "docker.io/pilothouse/app:2"}},
		{tags: []string{"docker.io/pilothouse/app:1", "docker.io/pilothouse/examples-bookinfo-details-v1:dev"}},
	}}
	for image, want := range map[string]string{
		"registry.istio.io/release/examples-bookinfo-reviews-v1:1.20.3": "docker.io/pilothouse/examples-bookinfo-reviews-v1:dev",
		"registry.example:5000/a/b/examples-bookinfo-details-v1":        "docker.io/pilothouse/examples-bookinfo-details-v1:dev",
		"examples-bookinfo-reviews-v1":                                  "docker.io/pilothouse/examples-bookinfo-reviews-v1:dev",
		"hub/app:2":                                                     "docker.io/pilothouse/app:2",
		"hub/app:3":                                                     "docker.io/pilothouse/app:1",
		"hub/reviews-v1":                                                "",
		"hub/examples-bookinfo-reviews-v11":                             "",
		"not an image":                                                  "",
	} {
		if got := i.namesake(image); got != want {
			t.Errorf("namesake of %q is %q, want %q", image, got, want)
		}
	}
}
