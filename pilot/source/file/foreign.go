package file

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// foreign takes an object of a kind that nothing here reads. That is told, unless the kind's work is
// known to be done elsewhere.
func (d *decoder) foreign(h *header, src *source) {
	key := model.Key{Kind: h.Kind, Namespace: d.inNamespace(h.Metadata.Namespace), Name: h.Metadata.Name}
	group, _ := groupVersion(h.APIVersion)
	what := h.APIVersion + " " + string(h.Kind)
	switch meant := meantKind(h.Kind, group); {
	case legacyGroup(group):
		d.problem(key, "", src.line, model.SeverityError, model.ReasonNotTranslated, what+" is of Istio 1.5 or older, and has no effect; `pilotctl translate -f FILE` prints the objects of today that stand for it")
	case meant != "":
		if kind := model.Kind(meant[strings.LastIndexByte(meant, ' ')+1:]); denies(kind) {
			d.refuse(model.Key{Kind: kind, Namespace: key.Namespace, Name: key.Name}, src, nil, nil)
		}
		d.problem(key, "", src.line, model.SeverityError, model.ReasonInvalid, fmt.Sprintf("%s is not known; did you mean %s? The object has no effect", what, meant))
	case kinds.MeshGroup(group):
		d.problem(key, "", src.line, model.SeverityError, model.ReasonNotTranslated, what+" is not translated by this version; the object has no effect")
	case elsewhere(group, h.Kind) == "":
		d.problem(key, "", src.line, model.SeverityWarning, model.ReasonNotTranslated, "nothing here reads "+what+"; the object has no effect")
	case d.ignored != nil:
		d.ignored(d.name, what+" "+h.Metadata.Name)
	}
}

// legacyGroup tells whether a group has the security kinds that Istio gave up after 1.5.
func legacyGroup(group string) bool {
	return group == "authentication.istio.io" || group == "rbac.istio.io"
}

func groupVersion(apiVersion string) (group, version string) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		return "", apiVersion
	}
	return group, version
}

// meantKind gives the kind that is read here and that an unknown one was probably meant to be: it has
// another version, or is misspelt in kind or group. "" stands for none.
func meantKind(kind model.Kind, group string) string {
	for _, k := range readKinds() {
		if sameGroup(group, k.group) && (strings.EqualFold(string(kind), string(k.kind)) || misspelt(kind, k.kind)) {
			return k.apiVersion + " " + string(k.kind)
		}
	}
	return ""
}

// sameGroup tells whether a group may have been meant to be another one. Groups of Kubernetes' own that
// have no domain have no kinds of the same names.
func sameGroup(group, meant string) bool {
	return group == meant || !strings.Contains(group, ".") || meant != "" && spelling.Distance(group, meant) <= 3
}

func misspelt(kind, meant model.Kind) bool {
	a, b := strings.ToLower(string(kind)), strings.ToLower(string(meant))
	return a == b+"s" || len(b) > 4 && spelling.Distance(a, b) <= 2
}

// readKind is a kind that is read here.
type readKind struct {
	kind              model.Kind
	group, apiVersion string
}

func readKinds() []readKind {
	var out []readKind
	for _, kind := range []model.Kind{
		model.KindConfigMap, model.KindDeployment, model.KindEndpointSlice, model.KindIngress, model.KindIngressClass, model.KindNamespace, model.KindPod, model.KindSecret, model.KindService, model.KindServiceAccount,
	} {
		k, _ := kinds.KubernetesOf([]byte(`"` + string(kind) + `"`))
		apiVersion := strings.Trim(k.QuotedVersion, `"`)
		group, _ := groupVersion(apiVersion)
		out = append(out, readKind{kind, group, apiVersion})
	}
	for kind, k := range kinds.OfIstio() {
		out = append(out, readKind{kind, k.Group, k.Group + "/" + k.Versions[0]})
	}
	slices.SortFunc(out, func(a, b readKind) int { return strings.Compare(string(a.kind), string(b.kind)) })
	return out
}

// elsewhereKind are kinds of a group that do their work outside of the mesh.
type elsewhereKind struct {
	group string
	kinds []model.Kind // nil for all
	why   string
}

func elsewhereKinds() []elsewhereKind {
	return []elsewhereKind{
		{"", []model.Kind{"PersistentVolume", "PersistentVolumeClaim"}, "a pod's storage"},
		{"", []model.Kind{"LimitRange", "ResourceQuota"}, "what an API server admits"},
		{"", []model.Kind{"Node"}, "a kubelet's"},
		{"", []model.Kind{"Event"}, "a record"},
		{"rbac.authorization.k8s.io", nil, "who may use an API server"},
		{"storage.k8s.io", nil, "a pod's storage"},
		{"scheduling.k8s.io", nil, "where a pod runs"},
		{"node.k8s.io", nil, "how a pod runs"},
		{"policy", []model.Kind{"PodDisruptionBudget"}, "when a pod is evicted"},
		{"autoscaling", []model.Kind{"HorizontalPodAutoscaler"}, "how many pods run"},
		{"coordination.k8s.io", nil, "who leads among controllers"},
		{"events.k8s.io", nil, "a record"},
		{"apiextensions.k8s.io", nil, "what an API server stores"},
		{"apiregistration.k8s.io", nil, "what an API server stores"},
		{"admissionregistration.k8s.io", nil, "what an API server admits"},
		{"flowcontrol.apiserver.k8s.io", nil, "what an API server admits"},
		{"certificates.k8s.io", nil, "certificates of another authority"},
		{"cert-manager.io", nil, "certificates of another authority"},
		{"monitoring.coreos.com", nil, "what is scraped"},
	}
}

// elsewhere gives what a kind does outside of the mesh, "" for one of which that is not known.
func elsewhere(group string, kind model.Kind) string {
	for _, k := range elsewhereKinds() {
		if k.group == group && (k.kinds == nil || slices.Contains(k.kinds, kind)) {
			return k.why
		}
	}
	return ""
}
