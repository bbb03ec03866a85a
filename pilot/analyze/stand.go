package analyze

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// stand fills in file and line, also of an object in the place of which something denies, and of one that is made of
// Ingresses.
func (m *mesh) stand(at *Place) {
	o := m.known(at.Object)
	if i := slices.IndexFunc(m.refused, func(r file.Refusal) bool { return r.Key == at.Object && r.Denial != nil }); o == nil && i >= 0 {
		o = m.refused[i].Denial
	}
	if o == nil {
		return
	}
	if source, made := o.MadeOf(at.Field); made {
		if o = m.object(source.Object); o == nil {
			return
		}
		at.Of, at.Field, at.Name = source.Object, source.Field, ""
	}
	at.Origin = o.Origin
	at.Line = m.lines.Line(o.Origin, o.Key, at.Field)
}

// known finds an object, also one that is made of Ingresses; nil for none.
func (m *mesh) known(key model.Key) *model.Object {
	if o := m.object(key); o != nil || (key.Kind != model.KindGateway && key.Kind != model.KindVirtualService) {
		return o
	}
	return m.reader.Object(key)
}

// withoutIngresses gives the objects as a cluster has them, with those that Ingresses are read as in the place of these.
func (m *mesh) withoutIngresses() []*model.Object {
	all := m.inCluster()
	is := func(o *model.Object) bool { return o.Kind == model.KindIngress }
	if !slices.ContainsFunc(all, is) {
		return all
	}
	made := store.OfIngresses(all, store.Options{Domain: m.domain, Cluster: m.cluster})
	return append(slices.DeleteFunc(all, is), made...)
}
