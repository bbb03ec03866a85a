package validate

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// extensionProviders checks those that policies and Telemetry objects name. As in Istio one that is wrong does not keep
// the mesh's configuration out of effect: who names it does without it, or denies.
func (c *checker) extensionProviders(providers []*meshconfig.MeshConfig_ExtensionProvider) {
	for i, p := range providers {
		path := at("extensionProviders", i)
		again := func(o *meshconfig.MeshConfig_ExtensionProvider) bool { return o.GetName() == p.GetName() }
		switch {
		case p.GetName() == "":
			c.warn(path+".name", "is missing, so that nothing can name the provider; set it")
		case slices.ContainsFunc(providers[i+1:], again):
			c.warn(path+".name", "%q is the name of a later provider as well, which counts; choose another", p.GetName())
		}
		for _, fault := range model.ProviderFaults(p) {
			c.warn(path+"."+fault.Field, "%s; until it is right the provider is not used", fault.Reason)
		}
	}
}
