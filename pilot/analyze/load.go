package analyze

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/selected"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// mesh is what the files amount to, which analyzers read, and what they found.
type mesh struct {
	config    *meshconfig.MeshConfig
	domain    string
	objects   []*model.Object // that can take effect, in the order of files
	workloads []*workload
	snapshot  *store.Snapshot
	reader    store.Reader
	services  []*model.Service // whoever sees them
	hosts     map[string][]*model.Service
	lines     *lines
	findings  []Finding
}

// load decodes and validates the files as the control plane does, and makes a snapshot of what can
// take effect.
func load(files []File) *mesh {
	m := decoded(files)
	m.settle()
	return m
}

// decoded has the objects of the files that make sense, each for itself.
func decoded(files []File) *mesh {
	m := &mesh{config: model.DefaultMeshConfig(), domain: "cluster.local", lines: newLines(files), hosts: map[string][]*model.Service{}}
	seen := map[model.Key]firstSeen{}
	for _, f := range files {
		objects, problems := file.Decode(f.Data, f.Name)
		for _, p := range problems {
			if o, ok := m.controller(p); !ok {
				m.problems([]model.Problem{p})
			} else if o != nil {
				m.take(o, f.Dir, seen)
			}
		}
		for _, o := range objects {
			found := validate.Object(o)
			m.problems(found)
			if !slices.ContainsFunc(found, func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
				m.take(o, f.Dir, seen)
			}
		}
	}
	return m
}

// firstSeen is where an object of a key was seen first.
type firstSeen struct{ dir, at int }

// take notes an object of a directory, in the place of one of an earlier directory.
func (m *mesh) take(o *model.Object, dir int, seen map[model.Key]firstSeen) {
	other, twice := seen[o.Key]
	switch {
	case !twice:
		seen[o.Key] = firstSeen{dir, len(m.objects)}
		m.objects = append(m.objects, o)
	case dir > other.dir:
		seen[o.Key] = firstSeen{dir, other.at}
		m.objects[other.at] = o
	default:
		at := m.objects[other.at].Origin
		m.report(o, "", "", Warning, "is defined twice; %s:%d is in effect, remove one of them", at.File, at.Line)
	}
}

// settle leaves out what the mesh does not read, finds the workloads and makes the snapshot.
func (m *mesh) settle() {
	m.objects = selected.Of(m.objects)
	for _, o := range m.objects {
		switch spec := o.Spec.(type) {
		case *meshconfig.MeshConfig:
			m.config = spec
		case *corev1.Pod:
			m.addWorkload(&workload{object: o, field: "spec", meta: spec.ObjectMeta, spec: spec.Spec})
		case *appsv1.Deployment:
			m.addWorkload(&workload{object: o, field: "spec.template", meta: spec.Spec.Template.ObjectMeta, spec: spec.Spec.Template.Spec})
		case *podTemplate:
			m.addWorkload(&workload{object: o, field: spec.field, meta: spec.ObjectMeta, spec: spec.Spec})
		}
	}
	m.snapshot = store.FromObjects(m.inCluster(), store.Options{Domain: m.domain})
	m.reader = m.snapshot.Reader(nil)
	m.services = m.snapshot.AllServices()
	for _, svc := range m.services {
		m.hosts[svc.Hostname] = append(m.hosts[svc.Hostname], svc)
	}
}

// report notes what is wrong with an object.
func (m *mesh) report(o *model.Object, field, code string, level Level, format string, args ...any) {
	m.findings = append(m.findings, Finding{
		Code: code, Level: level, Object: o.Key, Field: field, Message: fmt.Sprintf(format, args...), Origin: o.Origin,
	})
}

// problems notes what a stage of the control plane found.
func (m *mesh) problems(all []model.Problem) {
	for _, p := range all {
		f := Finding{Object: p.Object, Field: p.Field, Message: p.Message, Origin: p.Origin, Level: levelOf(p)}
		if f.Origin.File == "" {
			if at := slices.IndexFunc(m.objects, func(o *model.Object) bool { return o.Key == p.Object }); at >= 0 {
				f.Origin = m.objects[at].Origin
			}
		}
		f.Code = m.codeOf(p)
		if f.Code == notFound && strings.HasPrefix(p.Field, gatewaysField) {
			f.Level = Error // as other names of Gateways, hosts and subsets that lead nowhere
		}
		m.findings = append(m.findings, f)
	}
}

// of gives the objects of a kind with their content.
func of[T any](m *mesh, kind model.Kind) []object[T] {
	var out []object[T]
	for _, o := range m.objects {
		if spec, ok := o.Spec.(T); ok && o.Kind == kind {
			out = append(out, object[T]{o, spec})
		}
	}
	return out
}

// object is an object whose content has a known type.
type object[T any] struct {
	*model.Object
	spec T
}
