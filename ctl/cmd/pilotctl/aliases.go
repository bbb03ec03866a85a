package main

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// imagesConfigMap names the ConfigMap of the alias list, in the root namespace; its key aliases
// holds a YAML map from image to image.
const imagesConfigMap = "pilothouse-images"

// bookinfoAliases lead the images of Istio's own sample, from each hub that its releases have named, to
// the ones that `make images` builds. Those of other hubs are found by name where no registry is reached.
func bookinfoAliases() map[string]string {
	out := map[string]string{}
	for _, s := range []string{"productpage-v1", "details-v1", "reviews-v1", "reviews-v2", "reviews-v3", "ratings-v1"} {
		for _, hub := range []string{"docker.io/istio/", "registry.istio.io/release/", "gcr.io/istio-release/"} {
			out[hub+"examples-bookinfo-"+s] = "docker.io/pilothouse/examples-bookinfo-" + s + ":dev"
		}
	}
	return out
}

// readAliases gives the alias list as the directories have it now.
func readAliases(dirs []string) (map[string]string, error) {
	out := bookinfoAliases()
	err := readObjects(dirs, []byte(imagesConfigMap), func(o *model.Object) error {
		spec, ok := o.Spec.(*corev1.ConfigMap)
		if !ok || o.Name != imagesConfigMap || o.Namespace != model.RootNamespace {
			return nil
		}
		var more map[string]string
		if err := yaml.UnmarshalStrict([]byte(spec.Data["aliases"]), &more); err != nil {
			return fmt.Errorf("%s data.aliases: a YAML map from image to image is expected: %w", o.Key, err)
		}
		maps.Copy(out, more)
		return nil
	})
	return out, err
}
