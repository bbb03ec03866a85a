package store

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// aliasTarget gives the host that a Service of type ExternalName stands for; "" for every other Service.
func aliasTarget(o *model.Object) string {
	svc := o.Spec.(*corev1.Service)
	if svc.Spec.Type != corev1.ServiceTypeExternalName {
		return ""
	}
	return model.CanonicalHost(strings.TrimSuffix(svc.Spec.ExternalName, "."))
}

// isAlias tells whether an object, of any kind or nil, is a Service of type ExternalName.
func isAlias(o *model.Object) bool {
	return o != nil && o.Kind == model.KindService && aliasTarget(o) != ""
}

// sameAlias tells whether two versions of a Service are the same alias or are none. What is no alias counts by the
// service derived from it.
func sameAlias(a, b *model.Object) bool {
	target := aliasTarget(a)
	return target == aliasTarget(b) && (target == "" ||
		a.Created.Equal(b.Created) && a.Annotations[exportToAnnotation] == b.Annotations[exportToAnnotation])
}

// aliasedHost lists an alias by the host that it stands for, and aliasHost by its own.
func aliasedHost(s *Settings, o *model.Object) []Place {
	return aliasPlaces(s, o, aliasTarget(o))
}

func aliasHost(s *Settings, o *model.Object) []Place {
	return aliasPlaces(s, o, serviceHost(o.Namespace, o.Name, s.Domain))
}

func aliasPlaces(s *Settings, o *model.Object, name string) []Place {
	if aliasTarget(o) == "" {
		return nil
	}
	exportTo := s.Mesh.GetDefaultServiceExportTo()
	if own := o.Annotations[exportToAnnotation]; own != "" {
		exportTo = splitList(own)
	}
	return forAudience(model.ExportTo(exportTo, nil, o.Namespace), Place{Name: name})
}

// AliasedHosts gives the hosts that the Services of type ExternalName that a client sees stand for, sorted.
func (r Reader) AliasedHosts(client string) []string {
	return r.names(tableAliases, client, "")
}

// AliasObjects gives those of them that stand for a host, model.Older first.
func (r Reader) AliasObjects(client, host string) []*model.Object {
	return r.joined(tableAliases, client, "", host)
}

// Aliases gives the hosts of those that stand for a host, sorted.
func (r Reader) Aliases(client, host string) []string {
	var out []string
	for _, o := range r.AliasObjects(client, host) {
		out = append(out, serviceHost(o.Namespace, o.Name, r.s.domain))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// AliasTarget gives the host that a host stands for; "" where it is no alias that the client sees.
func (r Reader) AliasTarget(client, host string) string {
	if found := r.joined(tableAliasTargets, client, "", host); len(found) > 0 {
		return aliasTarget(found[0])
	}
	return ""
}
