package operator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// Plan is what an installation consists of.
type Plan struct {
	Name     string // of the IstioOperator; objects of plans of other names are not this one's to take away
	Profile  string
	Revision string
	// Namespace of the control plane.
	Namespace string
	Releases  []Release // in the order in which they are applied
	Problems  []Problem // of what was said and has no effect
}

// Release is one component.
type Release struct {
	Component string // as a user is told
	charts.Release
	overlays []overlay
}

// DefaultName is what an installation is called whose files have no name, as with Istio's tool.
const DefaultName = "installed-state"

// Plan gives what the settings ask for.
func (s Settings) Plan() (*Plan, error) {
	d, err := s.merged()
	if err != nil {
		return nil, err
	}
	spec, problems, err := decode(d.Spec)
	if err != nil {
		return nil, err
	}
	p := &planner{spec: spec, Plan: Plan{Name: cmp.Or(d.Metadata.Name, DefaultName), Profile: spec.Profile, Problems: problems}}
	if err := p.plan(); err != nil {
		return nil, err
	}
	if wrong := validation.IsValidLabelValue(p.Name); wrong != nil {
		return nil, fmt.Errorf("metadata.name %q: %s", p.Name, strings.Join(wrong, "; "))
	}
	if wrong := validation.IsDNS1123Label(p.Revision); wrong != nil {
		return nil, fmt.Errorf("revision %q: %s", p.Revision, strings.Join(wrong, "; "))
	}
	slices.SortFunc(p.Problems, func(a, b Problem) int { return cmp.Compare(a.Field, b.Field) })
	p.Problems = slices.Compact(p.Problems)
	return &p.Plan, nil
}

type planner struct {
	Plan
	spec *spec
}

func (p *planner) problem(field, format string, args ...any) {
	p.Problems = append(p.Problems, Problem{field, fmt.Sprintf(format, args...)})
}

func (p *planner) plan() error {
	s := p.spec
	if err := shapes(s.Values); err != nil {
		return err
	}
	said, _ := s.Values["revision"].(string)
	p.Revision = cmp.Or(s.Revision, said, inject.DefaultRevision)
	p.Namespace = p.namespace()
	p.unsupported()
	if err := p.controlPlane(); err != nil {
		return err
	}
	gateways := asMap(s.Values["gateways"])
	for name := range gateways {
		if name != ingress && name != egress {
			p.problem("values.gateways."+name, "there are values for %s and %s only", ingress, egress)
		}
	}
	for _, of := range []struct {
		field, values string
		list          []component
	}{{"ingressGateways", ingress, s.Components.IngressGateways}, {"egressGateways", egress, s.Components.EgressGateways}} {
		for _, c := range of.list {
			if err := p.gateway("components."+of.field, of.values, c, asMap(gateways[of.values])); err != nil {
				return err
			}
		}
	}
	return nil
}

// namespace is where the control plane is, as the values say: that is what the charts take.
func (p *planner) namespace() string {
	said, _ := asMap(p.spec.Values["global"])["istioNamespace"].(string)
	return cmp.Or(said, model.RootNamespace)
}

// unsupported names what would need a part that we have not.
func (p *planner) unsupported() {
	s, c := p.spec, p.spec.Components
	for name, part := range map[string]absent{"cni": c.CNI, "ztunnel": c.Ztunnel, "istiodRemote": c.IstiodRemote} {
		if part.Enabled {
			p.problem("components."+name+".enabled", "there is no such component here")
		}
	}
	for field, namespace := range map[string]string{"namespace": s.Namespace, "components.pilot.namespace": c.Pilot.Namespace, "components.base.namespace": c.Base.Namespace} {
		fromProfile := field == "namespace" && namespace == model.RootNamespace
		if namespace != "" && namespace != p.Namespace && !fromProfile {
			p.problem(field, "the control plane reads its configuration in %s, and is installed there; values.global.istioNamespace names another namespace", p.Namespace)
		}
	}
	if only := (kubernetes{Overlays: c.Base.K8s.Overlays}); !reflect.DeepEqual(c.Base.K8s, only) {
		p.problem("components.base.k8s", "a set of definitions has overlays only")
	}
	if c.Base.Hub != "" || c.Base.Tag != nil || c.Base.Name != "" || c.Base.Label != nil {
		p.problem("components.base", "it is a set of definitions; it can be enabled or not, and values.base excludes some")
	}
	if c.Pilot.Name != "" || c.Pilot.Label != nil {
		p.problem("components.pilot", "its name and labels are those of the revision")
	}
	if len(c.Pilot.K8s.Service) > 0 {
		p.problem("components.pilot.k8s.service", "the control plane's Service has the ports that proxies know")
	}
}

// shapes gives an error where a value is not the mapping that others are put into.
func shapes(values map[string]any) error {
	for _, name := range []string{"global", "pilot", "meshConfig", "base", "gateways"} {
		if v, there := values[name]; there && v != nil && asMap(v) == nil {
			return fmt.Errorf("values.%s: it has to be a mapping, and is %v", name, v)
		}
	}
	for name, v := range asMap(values["gateways"]) {
		if v != nil && asMap(v) == nil {
			return fmt.Errorf("values.gateways.%s: it has to be a mapping, and is %v", name, v)
		}
	}
	return nil
}

// controlPlane adds the definitions and the control plane.
func (p *planner) controlPlane() error {
	s := p.spec
	base := map[string]any{}
	values := merge(s.Values, nil)
	if of, ok := values["base"]; ok {
		base["base"] = of
	}
	for _, of := range []string{"base", "gateways", "defaultRevision"} {
		delete(values, of)
	}
	for chart, values := range map[string]map[string]any{charts.Base: base, charts.Istiod: values} {
		problems, err := unknown(chart, "values", values)
		if err != nil {
			return err
		}
		p.Problems = append(p.Problems, problems...)
	}
	if s.Components.Base.enabled() {
		r, err := p.overlaid("components.base", kubernetes{Overlays: s.Components.Base.K8s.Overlays}, workload{}, "the definitions of Istio's kinds", charts.Release{Chart: charts.Base, Name: "istio-base", Namespace: p.Namespace, Values: base})
		if err != nil {
			return err
		}
		p.Releases = append(p.Releases, r)
	}
	if !s.Components.Pilot.enabled() {
		return nil
	}
	pilot := asMap(values["pilot"])
	delete(values, "pilot")
	values = merge(values, pilot)
	p.pilot(values)
	// What is unknown now is of the component: what was among the values is gone.
	problems, err := unknown(charts.Istiod, "components.pilot.k8s", values)
	if err != nil {
		return err
	}
	for _, problem := range problems {
		p.problem(strings.Replace(problem.Field, ".pdb.", ".podDisruptionBudget.", 1), "%s", problem.Reason)
	}
	release := charts.Release{Chart: charts.Istiod, Name: "istiod", Namespace: p.Namespace, Values: values}
	if p.Revision != inject.DefaultRevision {
		release.Name += "-" + p.Revision
	}
	r, err := p.overlaid("components.pilot", s.Components.Pilot.K8s, workload{"istiod" + Suffix(p.Revision), "discovery"}, "the control plane", release)
	if err != nil {
		return err
	}
	p.Releases = append(p.Releases, r)
	return p.mesh(r)
}

// pilot lays the settings of the component over the values.
func (p *planner) pilot(values map[string]any) {
	s, c := p.spec, p.spec.Components.Pilot
	put(values, "revision", p.Revision)
	if p.Namespace != model.RootNamespace {
		put(values, "global.istioNamespace", p.Namespace)
	}
	if len(s.MeshConfig) > 0 {
		put(values, "meshConfig", merge(asMap(values["meshConfig"]), s.MeshConfig))
	}
	for path, value := range map[string]any{"global.hub": s.Hub, "hub": c.Hub, "global.tag": s.Tag, "tag": c.Tag} {
		if value != nil && value != "" {
			put(values, path, fmt.Sprint(value))
		}
	}
	p.Problems = append(p.Problems, c.K8s.into(values, pilotNames, "istiod"+Suffix(p.Revision), "components.pilot.k8s")...)
	if c.K8s.Strategy == nil {
		return
	}
	for name, value := range c.K8s.Strategy.RollingUpdate {
		switch name {
		case "maxSurge", "maxUnavailable":
			put(values, "rollingM"+name[1:], value)
		default:
			p.problem("components.pilot.k8s.strategy.rollingUpdate."+name, "no such setting")
		}
	}
	if t := c.K8s.Strategy.Type; t != "" && t != "RollingUpdate" {
		p.problem("components.pilot.k8s.strategy.type", "the control plane is replaced by a rolling update")
	}
}

// The names of gateways for which Istio has values.
const (
	ingress = "istio-ingressgateway"
	egress  = "istio-egressgateway"
)

// gateway adds a gateway. values are those of all gateways of its sort.
func (p *planner) gateway(field, sort string, c component, from map[string]any) error {
	if c.Name == "" {
		c.Name = sort
	}
	field += "[" + c.Name + "]"
	values := map[string]any{}
	if sort == egress {
		put(values, "service.type", "ClusterIP")
	}
	legacyGateway(values, from)
	if problems, err := unknown(charts.Gateway, "values.gateways."+sort, values); err != nil {
		return err
	} else if c.enabled() {
		p.Problems = append(p.Problems, problems...)
	}
	if !c.enabled() {
		return nil
	}
	put(values, "name", c.Name)
	put(values, "revision", p.Revision)
	put(values, "serviceAccount.name", c.Name+"-service-account")
	for name, value := range c.Label {
		put(values, "labels", merge(asMap(values["labels"]), map[string]any{name: value}))
	}
	if len(c.K8s.Service) > 0 {
		put(values, "service", merge(asMap(values["service"]), c.K8s.Service))
	}
	if c.Hub != "" || c.Tag != nil {
		p.problem(field, "hub and tag have no effect on a gateway: the control plane gives it its image")
	}
	if st := c.K8s.Strategy; st != nil {
		put(values, "strategy", map[string]any{"type": cmp.Or(st.Type, "RollingUpdate"), "rollingUpdate": st.RollingUpdate})
	}
	p.Problems = append(p.Problems, c.K8s.into(values, gatewayNames, c.Name, field+".k8s")...)
	problems, err := unknown(charts.Gateway, field, values)
	if err != nil {
		return err
	}
	for _, problem := range problems { // they can only be in the Service here
		p.problem(strings.Replace(problem.Field, field+".service", field+".k8s.service", 1), "%s", problem.Reason)
	}
	r, err := p.overlaid(field, c.K8s, workload{c.Name, "istio-proxy"}, "gateway "+c.Name, charts.Release{
		Chart: charts.Gateway, Name: c.Name, Namespace: cmp.Or(c.Namespace, p.Namespace), Values: values,
	})
	p.Releases = append(p.Releases, r)
	return err
}

// mesh names what of the mesh configuration has no effect, as the control plane will.
func (p *planner) mesh(release Release) error {
	objects, err := release.Objects()
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() != "ConfigMap" || !strings.HasPrefix(o.GetName(), model.MeshConfigName+Suffix(p.Revision)) {
			continue
		}
		if text, _, _ := unstructured.NestedString(o.Object, "data", model.MeshConfigMapKey); text == "" {
			continue
		}
		o.SetName(model.MeshConfigName) // as the control plane takes it, whatever its revision and namespace
		o.SetNamespace(model.RootNamespace)
		data, err := json.Marshal(o.Object)
		if err != nil {
			return err
		}
		_, _, problems := file.NewReader().JSON(data)
		for _, problem := range problems {
			p.problem("meshConfig"+strings.TrimSuffix("."+problem.Field, "."), "%s", problem.Message)
		}
	}
	return nil
}
