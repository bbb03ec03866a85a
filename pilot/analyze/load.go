package analyze

import (
	"fmt"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/lines"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/selected"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// mesh is what the files amount to, which analyzers read, and what they found.
type mesh struct {
	config    *meshconfig.MeshConfig
	domain    string
	cluster   string                // by which proxies know the control plane's own
	running   bool                  // it is a mesh that runs, which has all that it is to have
	objects   []*model.Object       // that can take effect, in the order of files
	refused   []file.Refusal        // what cannot
	faults    map[model.Key]Finding // of what cannot, the first of each
	denials   []*model.Object       // are in effect in the place of what was refused
	workloads []*workload
	injectors injectors
	snapshot  *store.Snapshot
	reader    store.Reader
	services  []*model.Service // whoever sees them
	hosts     map[string][]*model.Service
	texts     *texts
	lines     *lines.Finder
	findings  []Finding
	index     *index // nil until the mesh is settled
}

// load decodes and validates the files as the control plane does, and makes a snapshot of what can
// take effect.
func load(files []File) *mesh {
	m := decoded(files)
	m.deny()
	m.settle()
	m.noteFaults()
	return m
}

// noteFaults remembers why objects cannot take effect, for those that name them.
func (m *mesh) noteFaults() {
	m.faults = map[model.Key]Finding{}
	for _, r := range m.refused {
		m.faults[r.Key] = Finding{}
	}
	for _, f := range m.findings {
		if first, refused := m.faults[f.Object]; refused && first.Level == "" && f.Level == Error && m.object(f.Object) == nil {
			f.Origin.Line = m.lines.Line(f.Origin, f.Object, f.Field)
			m.faults[f.Object] = f
		}
	}
}

// refusal tells of an object that is in the files and was refused; "" for others.
func (m *mesh) refusal(key model.Key) string {
	f := m.faults[key]
	if f.Level == "" {
		return ""
	}
	return fmt.Sprintf("%s %s/%s is refused (%s)", key.Kind, key.Namespace, key.Name, f.Origin)
}

// decoded has the objects of the files that make sense, each for itself.
func decoded(files []File) *mesh {
	texts := textsOf(files)
	m := &mesh{
		config: model.DefaultMeshConfig(), domain: "cluster.local", cluster: model.DefaultClusterID, lines: lines.NewFinder(texts.load, texts.namespaces), texts: texts, hosts: map[string][]*model.Service{},
		injectors: injectorsOfFiles(),
	}
	seen := map[model.Key]firstSeen{}
	for _, f := range files {
		objects, refused, problems := f.checked()
		m.refused = append(m.refused, refused...)
		for _, p := range problems {
			if o, ok := m.controller(p); !ok {
				m.problems([]model.Problem{p})
			} else if o != nil {
				m.take(o, f.Dir, seen)
			}
		}
		for _, o := range objects {
			m.take(o, f.Dir, seen)
		}
	}
	return m
}

// checked reads a file as the control plane does.
func (f File) checked() ([]*model.Object, []file.Refusal, []model.Problem) {
	if f.Mesh {
		return file.CheckedMesh(f.Data, f.Name, validate.Object)
	}
	return file.Checked(f.Namespace, f.Data, f.Name, validate.Object)
}

// deny has denials in the place of refused objects of which no directory has a version that can take effect, as
// in a control plane, and says so of the objects.
func (m *mesh) deny() {
	there, denied := keysOf(m.objects), map[model.Key]string{} // with the consequence
	for _, r := range m.refused {
		if r.Denial == nil || there[r.Key] || there[r.Denial.Key] {
			continue
		}
		m.denials = append(m.denials, r.Denial)
		there[r.Denial.Key], denied[r.Key] = true, r.Consequence()
	}
	for i := range m.findings {
		if f := &m.findings[i]; f.Level == Error {
			f.Message += denied[f.Object]
		}
	}
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
	denial := map[*model.Object]bool{}
	for _, o := range m.denials {
		denial[o] = true
	}
	all := selected.Of(slices.Concat(m.objects, m.denials))
	m.objects = slices.DeleteFunc(slices.Clone(all), func(o *model.Object) bool { return denial[o] })
	m.denials = slices.DeleteFunc(all, func(o *model.Object) bool { return !denial[o] })
	m.indexed()
	if m.injectors.others {
		m.injectors.configure(m)
	}
	for _, o := range m.objects {
		if spec, ok := o.Spec.(*meshconfig.MeshConfig); ok {
			m.config = spec
		}
		if w := templated(o); w != nil {
			w.proxy = m.proxyOf(m.namespace(o.Namespace), w)
			m.addWorkload(w)
		}
	}
	m.snapshot = store.FromObjects(m.inCluster(), store.Options{Domain: m.domain, Cluster: m.cluster})
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
		f := Finding{Object: p.Object, Field: p.Field, Message: p.Text(), Origin: p.Origin, Level: levelOf(p)}
		if f.Origin.File == "" {
			if o := m.object(p.Object); o != nil {
				f.Origin = o.Origin
			}
		}
		f.Code = m.codeOf(p)
		f.Unknown = p.Object.Kind == "" || p.Reason == model.ReasonNotTranslated && p.Field == "" && p.Severity == model.SeverityWarning
		if refused := m.refusal(m.gatewayMeant(p)); f.Code == notFound && strings.HasPrefix(p.Field, gatewaysField) && refused != "" {
			f.Message = refused + ", so nobody serves the hosts there; correct it"
		}
		m.findings = append(m.findings, f)
	}
}

// of gives the objects of a kind with their content.
func of[T any](m *mesh, kind model.Kind) []object[T] {
	var out []object[T]
	for _, o := range m.ofKind(kind) {
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
