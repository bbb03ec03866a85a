package file

import (
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"

	"google.golang.org/protobuf/encoding/protojson"
	"istio.io/api/annotation"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// annotations reports the annotations of an object that are for a mesh and have no effect.
func (d *decoder) annotations(o *model.Object) []model.Problem {
	found := d.annotated(o.Key, o.Kind, "metadata", o.Annotations)
	if o.Kind == model.KindService {
		for _, name := range sessionLabels {
			if o.Labels[name] != "" {
				found = append(found, d.noEffect(o.Key, "metadata.labels["+name+"]", "requests are kept to no server by it, as in Istio without PILOT_ENABLE_PERSISTENT_SESSION_FILTER; use a DestinationRule with consistentHash"))
			}
		}
	}
	if deployment, ok := o.Spec.(*appsv1.Deployment); ok {
		found = append(found, d.annotated(o.Key, model.KindPod, "spec.template.metadata", deployment.Spec.Template.Annotations)...)
	}
	return found
}

// sessionLabels of a Service ask for sessions that outlive changes of its endpoints, by a cookie or a header.
var sessionLabels = []string{"istio.io/persistent-session", "istio.io/persistent-session-header"}

// UnreadAnnotations reports the annotations at an object that are for a mesh and have no effect, for the
// kinds that Decode does not read. They are of the object itself or of a template in it: kind is what they
// are to act on, at the path of their metadata.
func UnreadAnnotations(o *model.Object, kind model.Kind, at string, annotations map[string]string) []model.Problem {
	d := &decoder{name: o.Origin.File}
	found := d.annotated(o.Key, kind, at, annotations)
	for i := range found {
		found[i].Origin = o.Origin
	}
	return found
}

func (d *decoder) annotated(key model.Key, kind model.Kind, at string, annotations map[string]string) []model.Problem {
	var names []string
	for name := range annotations {
		if model.ForMesh(name) || name == model.AnnotationIngressClass {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var found []model.Problem
	for _, name := range names {
		field := at + ".annotations[" + name + "]"
		if why := d.known().annotationUnread(name, kind); why != "" {
			found = append(found, d.noEffect(key, field, why))
		} else if name == annotation.ProxyConfig.Name {
			found = append(found, d.proxyConfig(key, field, annotations[name])...)
		}
	}
	return found
}

// proxyConfig reports what of a pod's own ProxyConfig nothing reads.
func (d *decoder) proxyConfig(key model.Key, field, text string) []model.Problem {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return []model.Problem{d.unparsed(key, field, err.Error())}
	}
	pc := &meshconfig.ProxyConfig{}
	if data, err = model.SecondsJSON(data, pc.ProtoReflect().Descriptor()); err == nil {
		err = protojson.Unmarshal(data, pc)
	}
	if err != nil {
		return []model.Problem{d.unparsed(key, field, model.ProtoJSONError(err))}
	}
	o := &model.Object{Key: key}
	if pc.GetTracing() != nil {
		return append(d.unread(o, pc.ProtoReflect(), model.DefaultProxyConfig().ProtoReflect(), field+"."),
			d.noEffect(key, field+".tracing", "of a pod's own only the collector's address counts, where the mesh has one too; write a Telemetry object"))
	}
	return d.unread(o, pc.ProtoReflect(), model.DefaultProxyConfig().ProtoReflect(), field+".")
}

// unparsed reports an annotation whose value says nothing.
func (d *decoder) unparsed(key model.Key, field, why string) model.Problem {
	p := d.noEffect(key, field, "does not parse: "+why)
	p.Reason = model.ReasonInvalid
	return p
}

// annotationUnread gives why an annotation of a kind has no effect, "" where it has one.
func (e *effects) annotationUnread(name string, kind model.Kind) string {
	a, ok := e.annotations[name]
	switch {
	case !ok:
		return "no annotation has this name; correct its spelling or remove it"
	case len(a.Kinds) == 0 || slices.Contains(a.Kinds, kind):
		return a.Why
	}
	var kinds []string
	for _, k := range a.Kinds {
		kinds = append(kinds, string(k))
	}
	return "it acts on a " + strings.Join(kinds, " or ") + " only"
}
