package validate

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// extensionProviders checks those that policies and Telemetry objects name.
func (c *checker) extensionProviders(providers []*meshconfig.MeshConfig_ExtensionProvider) {
	named := map[string]bool{}
	for i, p := range providers {
		path := at("extensionProviders", i)
		switch {
		case p.GetName() == "":
			c.missing(path + ".name")
		case named[p.GetName()]:
			c.fail(path+".name", "%q is the name of another provider; choose another", p.GetName())
		}
		named[p.GetName()] = true
		for _, fault := range slices.Concat(model.CheckExternalAuthorization(p), model.CheckCollector(p)) {
			c.fail(path+"."+fault.Field, "%s", fault.Reason)
		}
	}
}
