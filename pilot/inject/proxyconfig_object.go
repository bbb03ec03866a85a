package inject

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// proxyConfigs are the ProxyConfig objects that are for one pod, each nil for none: of the mesh, which lives
// in the root namespace, of the pod's namespace, and of its labels. Of several the oldest counts.
type proxyConfigs struct{ mesh, namespace, workload *networking.ProxyConfig }

// proxyConfigsFor finds them.
func proxyConfigsFor(objects []*model.Object, root, namespace string, labels map[string]string) proxyConfigs {
	var out proxyConfigs
	objects = slices.Clone(objects)
	slices.SortFunc(objects, model.Older)
	for _, o := range objects {
		pc := o.Spec.(*networking.ProxyConfig)
		selector := pc.GetSelector().GetMatchLabels()
		switch {
		case len(selector) > 0:
			if o.Namespace == namespace && model.Selects(selector, labels) {
				out.workload = cmp.Or(out.workload, pc)
			}
		case o.Namespace == root:
			out.mesh = cmp.Or(out.mesh, pc)
		case o.Namespace == namespace:
			out.namespace = cmp.Or(out.namespace, pc)
		}
	}
	return out
}

// beneath lays what annotations stand over over the mesh's defaults, and above what stands over them.
func (p proxyConfigs) beneath(base *meshconfig.ProxyConfig) *meshconfig.ProxyConfig {
	return overlay(overlay(base, p.mesh), p.namespace)
}

func (p proxyConfigs) above(base *meshconfig.ProxyConfig) *meshconfig.ProxyConfig {
	return overlay(base, p.workload)
}

// overlay lays an object over a configuration: variables one by one, else field by field.
func overlay(base *meshconfig.ProxyConfig, over *networking.ProxyConfig) *meshconfig.ProxyConfig {
	if over == nil {
		return base
	}
	out := proto.CloneOf(base)
	if over.GetConcurrency() != nil {
		out.Concurrency = over.GetConcurrency()
	}
	if env := over.GetEnvironmentVariables(); len(env) > 0 {
		merged := maps.Clone(out.GetProxyMetadata())
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, env)
		out.ProxyMetadata = merged
	}
	if over.GetImage() != nil {
		out.Image = over.GetImage()
	}
	return out
}
